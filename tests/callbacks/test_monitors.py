"""Callbacks of Lightning that monitor the lens's scalars."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torchmetrics import Metric
from training import Net, lens, loaders, train

from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.measurements import ConceptQuality, Consistency, ReconstructionError


@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_lightnings_early_stopping_stops_training(tmp_path, first):
    stop = EarlyStopping(
        "factorlens_total/rmse/rank_4", patience=1, mode="min", min_delta=100.0, check_on_train_epoch_end=True
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


def test_scalars_of_every_group_of_the_lens_can_be_monitored(tmp_path):
    stop = EarlyStopping("factorlens_cost/nothing", check_on_train_epoch_end=True)
    with pytest.raises(
        MisconfigurationException, match=r"factorlens_cost/nothing.*there are: .*factorlens_cost/seconds"
    ):
        train(tmp_path, lens(), stop)
    rule = LabelFreeStopping(monitor="factorlens_total/rmse/rank_4", tag_name="rmse")
    keep = ModelCheckpoint(tmp_path / "kept", monitor="factorlens_cost/seconds", save_on_train_epoch_end=True)
    trainer, _ = train(tmp_path, lens(), rule, keep, enable_checkpointing=True)
    assert rule.prefix == "factorlens"
    assert {"factorlens/rmse_score", "factorlens/should_rmse"} <= trainer.callback_metrics.keys()
    assert keep.best_model_path


class Squares(Net):
    """Its loss is none of class scores."""

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0]), torch.zeros(len(batch[0]), 3))


@pytest.mark.parametrize("scalar", ["clarity", "agreement", "stability"])
def test_scalars_that_the_first_observation_lacks_can_be_monitored(scalar, tmp_path):
    monitor = f"factorlens_concepts/{scalar}"
    stop = EarlyStopping(monitor, mode="max", patience=9, check_on_train_epoch_end=True)
    keep = ModelCheckpoint(tmp_path / "kept", monitor=monitor, mode="max", save_on_train_epoch_end=True)
    observer = lens(measurements=[ConceptQuality(rank=3, every=2)])
    trainer, _ = train(tmp_path, observer, stop, keep, enable_checkpointing=True)
    record = observer.history[2]["concept_quality"]
    assert trainer.current_epoch == 3
    assert float(stop.best_score) == pytest.approx(getattr(record, scalar))
    assert keep.best_model_path
    assert record.agreement is not None  # the loss has told that there are class scores


def test_class_scores_that_a_model_turns_out_not_to_have_are_refused_after_the_first_step(tmp_path):
    def monitoring(scalar):
        return EarlyStopping(f"factorlens_concepts/{scalar}", mode="max", patience=9, check_on_train_epoch_end=True)

    with pytest.raises(MisconfigurationException, match=r"concepts/agreement.*there are: factorlens_concepts/clarity"):
        train(tmp_path, lens(measurements=[ConceptQuality(rank=3)]), monitoring("agreement"), module=Squares())
    stop = monitoring("clarity")
    train(tmp_path, lens(measurements=[ConceptQuality(rank=3)]), stop, module=Squares())
    assert 0 < float(stop.best_score) <= 1


def test_a_group_that_is_another_lenss_prefix_belongs_to_that_lens(tmp_path):
    other = lens(prefix="factorlens_total")
    stop = EarlyStopping("factorlens_total/consistency", patience=9, check_on_train_epoch_end=True)
    rule = LabelFreeStopping(monitor="factorlens_total/consistency")
    trainer, _ = train(tmp_path, lens(), other, stop, rule)
    assert rule.prefix == "factorlens_total"
    assert torch.isfinite(stop.best_score)
    assert "factorlens_total/stop_score" in trainer.callback_metrics


def test_tags_of_others_that_begin_like_the_prefix_are_left_alone(tmp_path):
    class Logging(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.log("factorlens_own/number", 1.0)

    stop = EarlyStopping("factorlens_own/number", patience=9, check_on_train_epoch_end=True)
    trainer, _ = train(tmp_path, Logging(), lens(), stop)
    assert trainer.current_epoch == 3


def test_patience_counts_observations_not_epochs(tmp_path):
    def stop():
        return EarlyStopping("factorlens_total/rmse/rank_4", patience=2, min_delta=100.0, check_on_train_epoch_end=True)

    trainer, _ = train(tmp_path / "a", lens(every_n_epochs=3), stop(), epochs=20)
    assert trainer.current_epoch == 6  # the baseline is the first it reads, then the observations after epochs 3 and 6
    trainer, _ = train(tmp_path / "b", stop(), lens(every_n_train_steps=8), epochs=20)  # two epochs of four steps
    assert trainer.current_epoch == 4


def test_a_lens_that_keeps_failing_does_not_stop_the_run(tmp_path, monkeypatch):
    callback = lens()
    stop = EarlyStopping("factorlens/consistency", patience=2, check_on_train_epoch_end=True)

    class Sabotage(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            monkeypatch.setattr(callback.lens, "begin", lambda *_: 1 / 0)

    with pytest.warns(UserWarning, match="could not observe"):
        trainer, _ = train(tmp_path, callback, Sabotage(), stop, epochs=8)
    assert trainer.current_epoch == 8


@pytest.mark.parametrize("before", ["other measurements", "other ranks"])
def test_a_resumed_run_logs_no_scalars_of_another_lens(tmp_path, before):
    """Else an old value would be monitored for ever, and a new one would be refused."""

    def make(measurements, ranks):
        return FactorLensCallback(
            max_overhead=None,
            probe_size=32,
            lens=LensOptions(ranks=ranks),
            measurements=measurements,
            verbose=False,
            on_error="raise",
        )

    old = make([Consistency(), ReconstructionError()], (1, 2))
    new = make([ReconstructionError()], (1, 2))
    lost, found = "factorlens/consistency", "factorlens_total/rmse/rank_1"
    if before == "other ranks":
        new = make([Consistency(), ReconstructionError()], (1, 4))
        lost, found = "factorlens_total/rmse/rank_2", "factorlens_total/rmse/rank_4"
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


TAG = "factorlens_total/rmse/rank_4"


class Watch(Callback):
    """What other callbacks find after every batch and every validation, and the lens's own value."""

    def __init__(self, tag=TAG):
        self.tag = tag
        self.found = []

    def look(self, trainer):
        known = [c for c in trainer.callbacks if isinstance(c, FactorLensCallback) and self.tag.startswith(c.prefix)]
        found = trainer.callback_metrics.get(self.tag)
        self.found.append((None if found is None else float(found), known[0].metrics[self.tag]))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.look(trainer)

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.look(trainer)


def values_agree(watch):
    return all(found == pytest.approx(own, rel=1e-6) for found, own in watch.found)


@pytest.mark.parametrize("options", [{}, {"every_n_epochs": 2}, {"every_n_train_steps": 3}], ids=str)
@pytest.mark.parametrize("trainer", [{}, {"val_check_interval": 0.25}, {"limit_val_batches": 0}], ids=str)
def test_a_monitored_value_exists_from_the_first_observation_on(options, trainer, tmp_path):
    watch = Watch()
    train(tmp_path, lens(**options), watch, **trainer)
    assert len(watch.found) >= 12
    assert values_agree(watch)
    assert len({found for found, _ in watch.found}) >= 2


@pytest.mark.parametrize("trainer", [{}, {"val_check_interval": 0.5}, {"check_val_every_n_epoch": 2}], ids=str)
def test_a_checkpoint_every_n_steps_monitors_it(trainer, tmp_path):
    keep = ModelCheckpoint(
        tmp_path / "kept", monitor=TAG, every_n_train_steps=3, save_top_k=-1, filename="{step}", save_last=True
    )
    train(tmp_path, lens(), keep, epochs=3, enable_checkpointing=True, **trainer)
    saved = {path.name for path in (tmp_path / "kept").glob("step*")}
    assert {f"step={step}.ckpt" for step in (3, 6, 9)} <= saved
    scores = [float(score) for score in keep.best_k_models.values()]
    assert len(scores) == len(saved)
    assert len(set(scores)) > 1


def test_a_run_resumed_in_the_middle_of_an_epoch_has_the_values_at_once(tmp_path):
    first = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=3, save_top_k=-1, filename="{step}")
    train(tmp_path / "a", lens(), first, epochs=2, enable_checkpointing=True)
    watch = Watch()
    second = ModelCheckpoint(tmp_path / "again", monitor=TAG, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        callbacks=[lens(), watch, second],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(), *loaders(), ckpt_path=tmp_path / "kept" / "step=6.ckpt")
    assert values_agree(watch)
    assert {"step=7.ckpt", "step=8.ckpt", "step=12.ckpt"} <= {path.name for path in (tmp_path / "again").iterdir()}


def test_two_lenses_publish_under_their_prefixes(tmp_path):
    watches = Watch(), Watch("other_total/rmse/rank_4")
    train(tmp_path, lens(), lens(prefix="other", every_n_train_steps=2), *watches)
    assert all(map(values_agree, watches))
    assert watches[0].found != watches[1].found


@pytest.mark.parametrize("order", ["before the lens", "after the lens"])
@pytest.mark.parametrize("puts_back", [True, False])
def test_a_second_trainer_inside_a_callback_does_not_take_the_values_away(order, puts_back, tmp_path):
    class Nested(Callback):
        """Validates the same module with a Trainer of its own, and leaves the module attached to it."""

        def on_train_epoch_end(self, trainer, pl_module):
            nested = Trainer(
                logger=False,
                accelerator="cpu",
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
            )
            nested.validate(pl_module, loaders()[1], verbose=False)
            if puts_back:
                pl_module.trainer = trainer

    class Silent(Net):
        """A module that does not log, so that it trains on although it is attached to another Trainer."""

        def __init__(self):
            torch.manual_seed(0)
            super().__init__()

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, batch_idx):
            pass

    def callbacks():
        return [Nested(), lens()] if order == "before the lens" else [lens(), Nested()]

    watch, stop = Watch(), EarlyStopping(TAG, patience=1, min_delta=100.0, check_on_train_epoch_end=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="FactorLens")
        trainer, observed = train(tmp_path, *callbacks(), watch, LabelFreeStopping(), stop, module=Silent(), epochs=9)
    assert trainer.current_epoch == 2
    assert values_agree(watch)
    _, alone = train(tmp_path, Nested(), module=Silent(), epochs=2)
    assert all(map(torch.equal, observed.state_dict().values(), alone.state_dict().values()))


def test_reading_the_values_computes_none_of_the_users_metrics(tmp_path):
    """Lightning computes logged metrics when ``callback_metrics`` is read, which users may not expect yet."""
    computed = []

    class Counting(Metric):
        def __init__(self):
            super().__init__()
            self.add_state("n", torch.zeros(()))

        def update(self):
            self.n += 1

        def compute(self):
            computed.append(len(stages))
            return self.n

    class Logs(Net):
        def __init__(self):
            super().__init__()
            self.count = Counting()

        def training_step(self, batch, batch_idx):
            self.count.update()
            self.log("count", self.count, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    stages = []

    class Mark(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            stages.append("after the lens")

    train(tmp_path, lens(), Mark(), module=Logs(), epochs=2)
    assert computed == [1, 2]
