"""Callbacks of Lightning that monitor the lens's scalars."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from training import Net, lens, loaders, train

from lightning_factorlens import FactorLensCallback, LensOptions
from lightning_factorlens.measurements import Consistency, ReconstructionError


@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_lightnings_early_stopping_stops_training(tmp_path, first):
    stop = EarlyStopping(
        "factorlens/rmse/rank_4", patience=1, mode="min", min_delta=100.0, check_on_train_epoch_end=True
    )
    callbacks = (lens(), stop) if first else (stop, lens())
    trainer, _ = train(tmp_path, *callbacks, epochs=9)
    assert trainer.current_epoch == 2
    assert stop.stopped_epoch == 1


def test_checkpoint_and_scheduler_monitor_it(tmp_path):
    keep = ModelCheckpoint(
        tmp_path / "kept", monitor="factorlens/consistency", save_on_train_epoch_end=True, filename="best", save_top_k=1
    )
    trainer, _ = train(
        tmp_path, lens(), keep, module=Net(schedule="factorlens/rel_error/rank_4"), epochs=4, enable_checkpointing=True
    )
    assert keep.best_model_path
    assert torch.isfinite(keep.best_model_score)
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-2


def test_a_callback_that_would_act_before_the_observation_is_refused(tmp_path):
    stop = EarlyStopping("factorlens/consistency", check_on_train_epoch_end=False)
    with pytest.raises(MisconfigurationException, match="check_on_train_epoch_end=True"):
        train(tmp_path, lens(), stop)
    keep = ModelCheckpoint(tmp_path, monitor="factorlens/consistency")
    with pytest.raises(MisconfigurationException, match="pass save_on_train_epoch_end=True"):
        train(tmp_path, lens(), keep, enable_checkpointing=True, check_val_every_n_epoch=2)
    keep = ModelCheckpoint(tmp_path, monitor="factorlens/consistency", save_on_train_epoch_end=False)
    with pytest.raises(MisconfigurationException, match="pass save_on_train_epoch_end=True"):
        train(tmp_path, lens(), keep, enable_checkpointing=True)
    with pytest.raises(MisconfigurationException, match=r"factorlens/loss.*there are: factorlens/.*consistency"):
        train(tmp_path, lens(), EarlyStopping("factorlens/loss", check_on_train_epoch_end=True))


def test_patience_counts_observations_not_epochs(tmp_path):
    def stop():
        return EarlyStopping("factorlens/rmse/rank_4", patience=2, min_delta=100.0, check_on_train_epoch_end=True)

    trainer, _ = train(tmp_path / "a", lens(every_n_epochs=3), stop(), epochs=20)
    assert trainer.current_epoch == 6  # the baseline is the first it reads, then the observations after epochs 3 and 6
    trainer, _ = train(tmp_path / "b", stop(), lens(every_n_train_steps=8), epochs=20)  # two epochs of four steps
    assert trainer.current_epoch == 4


def test_a_lens_that_keeps_failing_does_not_stop_the_run(tmp_path, monkeypatch):
    callback = lens()
    stop = EarlyStopping("factorlens/consistency", patience=2, check_on_train_epoch_end=True)

    class Sabotage(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            monkeypatch.setattr(callback.lens, "measure", lambda *_: 1 / 0)

    with pytest.warns(UserWarning, match="could not observe"):
        trainer, _ = train(tmp_path, callback, Sabotage(), stop, epochs=8)
    assert trainer.current_epoch == 8


@pytest.mark.parametrize("before", ["other measurements", "other ranks"])
def test_a_resumed_run_logs_no_scalars_of_another_lens(tmp_path, before):
    """Else an old value would be monitored for ever, and a new one would be refused."""

    def make(measurements, ranks):
        return FactorLensCallback(
            probe_size=32, lens=LensOptions(ranks=ranks), measurements=measurements, verbose=False, on_error="raise"
        )

    old = make([Consistency(), ReconstructionError()], (1, 2))
    new = make([ReconstructionError()], (1, 2))
    lost, found = "factorlens/consistency", "factorlens/rmse/rank_1"
    if before == "other ranks":
        new = make([Consistency(), ReconstructionError()], (1, 4))
        lost, found = "factorlens/rmse/rank_2", "factorlens/rmse/rank_4"
    trainer, _ = train(tmp_path, old, epochs=2)
    path = tmp_path / "saved.ckpt"
    trainer.save_checkpoint(path)

    def resume(monitor):
        stop = EarlyStopping(monitor, patience=9, check_on_train_epoch_end=True)
        trainer = Trainer(
            max_epochs=4,
            accelerator="cpu",
            logger=False,
            callbacks=[new, stop],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Net(), *loaders(), ckpt_path=path)

    with pytest.raises(MisconfigurationException, match="FactorLens logs no such value"):
        resume(lost)
    resume(found)
    assert lost not in new.metrics
    assert found in new.metrics
    assert [observation.epoch for observation in new.history] == [0, 1, 2, 2, 3, 4]
