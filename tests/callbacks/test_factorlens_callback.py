"""The callback inside a real Trainer."""

import copy
import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens.capture.signs import Denormalize
from lightning_factorlens.factorization import HALS, MultiplicativeUpdates
from lightning_factorlens.metrics.consistency import alternating_shift

RANKS = (1, 2, 4, 8)


class Net(LightningModule):
    """BatchNorm, Dropout, reused and functional ReLUs: everything a careless guest would disturb."""

    def __init__(self, schedule=None):
        super().__init__()
        self.conv1, self.norm, self.conv2 = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3)
        self.relu, self.drop, self.head = nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        self.schedule = schedule

    def forward(self, x):
        x = self.relu(self.norm(self.conv1(x)))
        x = self.drop(self.relu(self.conv2(x)))
        return self.head(nn.functional.relu(x.mean((2, 3))))

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        if self.schedule is None:
            return optimizer
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": self.schedule}}


def loaders(n=64, size=10, workers=0):
    g = torch.Generator().manual_seed(0)
    make = lambda: TensorDataset(torch.rand(n, 1, size, size, generator=g), torch.randint(0, 3, (n,), generator=g))  # noqa: E731
    return DataLoader(make(), 16, shuffle=True, num_workers=workers), DataLoader(make(), 16, num_workers=workers)


def train(tmp_path, *callbacks, epochs=3, module=None, data=None, **options):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    module = module or Net()
    arguments = {
        "max_epochs": epochs, "logger": TensorBoardLogger(tmp_path, name="", version=""), "callbacks": list(callbacks),
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu",
        "log_every_n_steps": 1,
    }  # fmt: skip
    trainer = Trainer(**{**arguments, **options})
    trainer.fit(module, *(data or loaders()))
    return trainer, module


def lens(**options):
    return make_callback(**{"probe_size": 32, "ranks": RANKS, "verbose": False, **options})


def scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_promised_tag_has_one_finite_point_an_epoch_and_rmse_falls_with_the_rank(tmp_path):
    train(tmp_path, lens(), epochs=4)
    found = scalars(tmp_path)
    layers = ["relu", "relu-2", "F.relu"]
    promised = [
        "factorlens/" + t
        for t in ("consistency", "effective_rank", "rank_at_30pct", "seconds", "mean_alpha", "alpha_hat")
    ]
    for r in RANKS:
        promised += [f"factorlens/{q}/rank_{r}" for q in ("rmse", "rel_error")]
        promised += [f"factorlens_{s}/{q}/rank_{r}" for s in ("inputs", "activations") for q in ("rmse", "rel_error")]
        promised += [f"factorlens_svd/{s}/rel_error/rank_{r}" for s in ("total", "inputs", "activations", *layers)]
        promised += [f"factorlens_layers/{n}/{q}/rank_{r}" for n in layers for q in ("rmse", "rel_error")]
    promised += [f"factorlens_layers/{n}/{q}" for n in layers for q in ("rms", "effective_rank")]
    promised += [
        f"factorlens_spectra/{n}/{q}" for n in ("conv2",) for q in ("alpha", "lambda_max", "n_tail", "ks_distance")
    ]
    for tag in promised:
        points = found[tag]
        assert [step for step, _ in points] == [0, 3, 7, 11, 15], tag
        assert np.isfinite([v for _, v in points]).all(), tag
    share = found["factorlens/overhead"]
    assert len(share) == 4
    assert all(0 < v <= 1 for _, v in share)
    for k in range(5):
        curve = [found[f"factorlens/rmse/rank_{r}"][k][1] for r in RANKS]
        assert all(a > b for a, b in zip(curve, curve[1:]))
        for r in RANKS:
            assert (
                found[f"factorlens/rel_error/rank_{r}"][k][1]
                >= found[f"factorlens_svd/total/rel_error/rank_{r}"][k][1] - 1e-6
            )
    assert [step for step, _ in found["val_loss"]] == [3, 7, 11, 15]  # our points stand below the user's


class Snapshot(Callback):
    def on_train_end(self, trainer, pl_module):
        self.weights = copy.deepcopy(pl_module.state_dict())
        self.optimizer = copy.deepcopy(trainer.optimizers[0].state_dict())
        self.random = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
        self.user = {k: v.clone() for k, v in trainer.callback_metrics.items() if not k.startswith("factorlens")}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resample_probe": True},
        {"every_n_train_steps": 3},
        {"figures_every_n": 1},
        {"solver": MultiplicativeUpdates(max_iter=5)},
    ],
    ids=lambda o: next(iter(o), "default"),
)
@pytest.mark.parametrize("setup", [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}], ids=str)
def test_training_is_bit_for_bit_what_it_would_have_been(tmp_path, options, setup):
    alone, watched = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, **setup)
    train(tmp_path / "b", lens(**options), watched, **setup)
    for k, v in alone.weights.items():
        assert torch.equal(v, watched.weights[k]), k
    for k, state in alone.optimizer["state"].items():
        assert all(torch.equal(v, watched.optimizer["state"][k][n]) for n, v in state.items())
    assert torch.equal(alone.random[0], watched.random[0])
    assert alone.random[1:] == watched.random[1:]
    assert alone.user.keys() == watched.user.keys()
    assert all(torch.equal(v, watched.user[k]) for k, v in alone.user.items())


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_are_not_disturbed(tmp_path, persistent):
    def data():
        train_loader, val = loaders()
        return train_loader, DataLoader(val.dataset, 16, num_workers=1, persistent_workers=persistent)

    alone, watched = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, data=data(), epochs=2)
    train(tmp_path / "b", lens(), watched, data=data(), epochs=2)
    assert all(torch.equal(v, watched.weights[k]) for k, v in alone.weights.items())


@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_stock_early_stopping_stops_on_it(tmp_path, first):
    stop = EarlyStopping(
        "factorlens/rmse/rank_4", patience=1, mode="min", min_delta=100.0, check_on_train_epoch_end=True
    )
    callbacks = (lens(), stop) if first else (stop, lens())
    trainer, _ = train(tmp_path, *callbacks, epochs=9)
    assert trainer.current_epoch == 2
    assert stop.stopped_epoch == 1


def test_checkpoint_and_scheduler_use_it(tmp_path):
    keep = ModelCheckpoint(
        tmp_path / "kept", monitor="factorlens/consistency", save_on_train_epoch_end=True, filename="best", save_top_k=1
    )
    trainer, _ = train(
        tmp_path, lens(), keep, module=Net(schedule="factorlens/rel_error/rank_4"), epochs=4, enable_checkpointing=True
    )
    assert keep.best_model_path
    assert torch.isfinite(keep.best_model_score)
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-2


def test_a_stop_that_acts_too_early_is_told_so(tmp_path):
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": []}, "ranks: .*whole numbers ≥ 1, found"),
        ({"ranks": (0, 3)}, "ranks: .*found"),
        ({"weighting": "loud"}, "weighting: found 'loud', allowed are 'unit', 'raw'"),
        ({"input_sign_policy": "drop"}, "input_sign_policy: found 'drop', allowed are"),
        ({"activation_sign_policy": 3}, "activation_sign_policy: found 3"),
        ({"probe_size": 0}, "probe_size: must be a whole number ≥ 1, found 0"),
        ({"every_n_epochs": 0}, "every_n_epochs: "),
        ({"every_n_train_steps": -1}, "every_n_train_steps: "),
        ({"ranks": 5.0}, "ranks: .*found 5.0"),
        ({"ranks": "8"}, "ranks: "),
        ({"ranks": (1, "a")}, "ranks: "),
        ({"max_neurons_per_layer": 0}, "max_neurons_per_layer: "),
        ({"max_neurons_per_layer": 2.5}, "max_neurons_per_layer: "),
        ({"error_thresholds": (1.5,)}, "error_thresholds: "),
        ({"error_thresholds": 0.3}, "error_thresholds: "),
        ({"shift": -1}, "shift: "),
        ({"shift": 1.5}, "shift: "),
        ({"seed": "x"}, "seed: "),
        ({"layers": 3}, "layers: "),
        ({"resample_probe": "no"}, "resample_probe: "),
        ({"alpha": "yes"}, "alpha: "),
        ({"activation_sign_policy": Denormalize([0.5], [0.5])}, "activation_sign_policy: Unnormalize"),
        ({"on_error": "ignore"}, "on_error: found 'ignore', allowed are 'warn', 'raise'"),
        ({"prefix": "a b"}, "prefix"),
    ],
    ids=lambda x: str(x),
)
def test_wrong_arguments_fail_at_once_and_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_callback(**options)


def test_a_wrong_solver_is_named():
    with pytest.raises(TypeError, match=r"solver: found 'hals'; give an object such as HALS\(\)"):
        make_callback(solver="hals")
    with pytest.raises(TypeError, match="solver: "):
        make_callback(solver=HALS)


def test_what_cannot_work_fails_before_training(tmp_path):
    with pytest.raises(ValueError, match="layers: 'features.*' matches nothing; there are: .*relu-2"):
        train(tmp_path, lens(layers="features.*"))
    with pytest.raises(ValueError, match="ranks: rank 99 needs a probe of at least 99 images, found 32"):
        train(tmp_path, lens(ranks=(1, 99)))
    with pytest.raises(MisconfigurationException, match="no validation dataloader.*pass `probe=`"):
        train(tmp_path, lens(), data=(loaders()[0],))

    class Headless(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def training_step(self, batch, batch_idx):
            return self.net(batch[0]).square().mean()

        def validation_step(self, batch, batch_idx):
            pass

        configure_optimizers = Net.configure_optimizers
        schedule = None

    with pytest.raises(MisconfigurationException, match=r"Define `forward\(self, x\)`"):
        train(tmp_path, lens(), module=Headless())


def test_a_probe_of_ones_own_needs_no_validation_loader(tmp_path):
    for i, probe in enumerate((torch.rand(40, 1, 10, 10), loaders()[1].dataset, loaders()[1])):
        callback = lens(probe=probe)
        train(tmp_path / str(i), callback, data=(loaders()[0],), epochs=1)
        assert len(callback.observation.inputs) == 32


def test_a_failure_inside_the_lens_never_costs_the_run(tmp_path, monkeypatch):
    callback, watched, alone = lens(), Snapshot(), Snapshot()
    train(tmp_path / "a", alone)
    seen = []
    stop = EarlyStopping("factorlens/consistency", patience=50, check_on_train_epoch_end=True)

    def explode(*args, **kwargs):
        seen.append(1)
        raise RuntimeError("out of memory in the lens")

    class Sabotage(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            monkeypatch.setattr(callback.lens, "observe", explode)

    with pytest.warns(
        UserWarning, match="FactorLens could not observe: RuntimeError: out of memory in the lens"
    ) as caught:
        trainer, _ = train(tmp_path / "b", callback, Sabotage(), stop, watched)
    assert trainer.current_epoch == 3
    assert len(seen) == 3
    assert sum("could not look" in str(w.message) for w in caught) == 1
    assert all(torch.equal(v, watched.weights[k]) for k, v in alone.weights.items())
    callback = lens(on_error="raise")
    with pytest.raises(RuntimeError, match="out of memory in the lens"):
        train(tmp_path / "c", callback, Sabotage())


def test_nan_in_a_layer_is_named_and_training_goes_on(tmp_path):
    class Poison(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.conv2.weight.data.fill_(torch.nan)

    with pytest.warns(UserWarning, match="block 'relu-2': .*NaN or infinite"):
        trainer, _ = train(tmp_path, Poison(), lens())
    assert trainer.current_epoch == 3


def test_cadence(tmp_path):
    train(tmp_path / "epochs", lens(every_n_epochs=2), epochs=5)
    assert [s for s, _ in scalars(tmp_path / "epochs")["factorlens/consistency"]] == [0, 7, 15]
    train(tmp_path / "steps", lens(every_n_train_steps=3), epochs=2, accumulate_grad_batches=2)
    steps = [s for s, _ in scalars(tmp_path / "steps")["factorlens/consistency"]]
    assert len(steps) == 2  # the baseline and after 3 of 4 optimizer steps, not once for each accumulated batch


def test_state_survives_a_checkpoint_under_weights_only(tmp_path):
    keep = ModelCheckpoint(tmp_path / "kept", save_last=True, save_on_train_epoch_end=True)
    callback = lens()
    train(tmp_path / "a", callback, keep, epochs=2, enable_checkpointing=True)
    torch.load(keep.last_model_path, weights_only=True)
    resumed = lens()
    torch.manual_seed(3)
    trainer = Trainer(
        max_epochs=4, callbacks=[resumed], logger=TensorBoardLogger(tmp_path, name="", version="b"), accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=keep.last_model_path)
    assert [s for s, _ in scalars(tmp_path / "b")["factorlens/consistency"]] == [11, 15]
    assert resumed.state.n_measured == 5


@pytest.mark.parametrize("broken", [None, 2])
def test_consistency_is_that_of_steady_labels_and_of_balanced_answers(tmp_path, monkeypatch, broken):
    """Against the formula, in float64, from the networks as they were; a look that failed leaves no trace."""
    nets, failing = [], []

    class Keep(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            nets.append(copy.deepcopy(pl_module).eval().double())

    def fail_once(*args):
        if callback.state.epochs == broken and not failing:
            failing.append("now")
            raise RuntimeError("no room")
        return fit(*args)

    import lightning_factorlens.lens as room

    fit = room.layer_similarities
    monkeypatch.setattr(room, "layer_similarities", fail_once)
    callback = lens()
    with pytest.warns(UserWarning, match="no room") if broken else nullcontext():
        train(tmp_path, callback, Keep(), epochs=4)
    x = callback.probe_batch.inputs.double()
    moved = alternating_shift(x, 1)
    average, expected = None, {}
    for epoch, net in enumerate(nets, 1):
        if epoch == broken:
            continue
        with torch.no_grad():
            p, log_q = net(x).softmax(1), net(moved).log_softmax(1)
        average = p if average is None else 0.8 * average + 0.2 * p
        balance = np.log(3) + float(torch.xlogy(p.mean(0), p.mean(0)).sum())
        expected[epoch] = float(-log_q.gather(1, average.argmax(1, keepdim=True)).mean()) + balance
    seen = {o.epoch: o.consistency for o in callback.history if o.epoch}
    assert seen == pytest.approx(expected, rel=1e-5)


def test_two_lenses_and_no_logger(tmp_path):
    a, b = lens(), lens(prefix="other", layers="relu-2", solver=HALS(n_init=1))
    trainer, _ = train(tmp_path, a, b, logger=False)
    assert "factorlens/consistency" in trainer.callback_metrics
    assert "other/rmse/rank_4" in trainer.callback_metrics
    train(tmp_path, lens(), fast_dev_run=True, logger=True)


def test_the_layer_table_and_the_cost_are_told(tmp_path, caplog):
    import logging

    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        train(tmp_path, lens(verbose=True), epochs=1)
    assert "relu-2" in caplog.text
    assert "FactorLens: 2 observations in" in caplog.text


def test_another_import_tree_is_explained():
    class Foreign:
        pass

    Foreign.__module__ = "pytorch_lightning.trainer.trainer"
    with pytest.raises(MisconfigurationException, match="two import trees"):
        lens().setup(Foreign(), None, "fit")


def test_patience_counts_looks_not_epochs(tmp_path):
    def stop():
        return EarlyStopping("factorlens/rmse/rank_4", patience=2, min_delta=100.0, check_on_train_epoch_end=True)

    trainer, _ = train(tmp_path / "a", lens(every_n_epochs=3), stop(), epochs=20)
    assert trainer.current_epoch == 6  # the baseline is the first it reads, then the looks after 3 and 6
    trainer, _ = train(tmp_path / "b", stop(), lens(every_n_train_steps=8), epochs=20)  # two epochs of four steps
    assert trainer.current_epoch == 4


def test_a_lens_that_keeps_failing_does_not_stop_the_run(tmp_path, monkeypatch):
    callback = lens()
    stop = EarlyStopping("factorlens/consistency", patience=2, check_on_train_epoch_end=True)

    class Sabotage(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            monkeypatch.setattr(callback.lens, "observe", lambda *_: 1 / 0)

    with pytest.warns(UserWarning, match="could not look"):
        trainer, _ = train(tmp_path, callback, Sabotage(), stop, epochs=8)
    assert trainer.current_epoch == 8


def test_logging_in_the_users_forward_does_not_see_the_probe(tmp_path):
    class Logs(Net):
        def forward(self, x):
            y = super().forward(x)
            self.log("mean", y.mean(), on_step=True, on_epoch=True)
            return y

    alone, watched, module = Snapshot(), Snapshot(), Logs()
    train(tmp_path / "a", alone, module=copy.deepcopy(module))
    train(tmp_path / "b", lens(), watched, module=module)
    assert all(torch.equal(v, watched.user[k]) for k, v in alone.user.items())


def test_the_probe_passes_the_users_batch_transfer_hooks(tmp_path):
    class Bytes(Net):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch[0].float() / 255, batch[1]

    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randint(0, 256, (64, 1, 10, 10), generator=g).byte(), torch.randint(0, 3, (64,)))
    callback = lens()
    train(tmp_path, callback, module=Bytes(), data=(DataLoader(data, 16), DataLoader(data, 16)), epochs=1)
    images = callback.observation.images
    assert images.is_floating_point()
    assert 0 <= images.min() < 0.1 < 0.9 < images.max() <= 1


def test_validation_loaders_that_lightning_has_not_loaded_yet_are_found(tmp_path):
    train(tmp_path, lens(), num_sanity_val_steps=0, check_val_every_n_epoch=2)
    train(tmp_path, lens(), limit_val_batches=0)


def test_a_checkpoint_without_a_lens_can_be_resumed_with_one(tmp_path):
    keep = ModelCheckpoint(tmp_path / "kept", save_last=True)
    train(tmp_path / "a", keep, epochs=2, enable_checkpointing=True)
    stop = EarlyStopping("factorlens/consistency", patience=50, check_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=4, callbacks=[lens(every_n_epochs=4), stop], logger=TensorBoardLogger(tmp_path, name="", version="b"),
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=keep.last_model_path)
    assert [s for s, _ in scalars(tmp_path / "b")["factorlens/consistency"]] == [8, 15]


def test_modules_named_like_a_part_keep_their_curves(tmp_path):
    class Named(Net):
        def __init__(self):
            super().__init__()
            self.activations, self.total = self.relu, nn.ReLU()

        def forward(self, x):
            return self.total(super().forward(x))

    callback = lens()
    train(tmp_path, callback, module=Named(), epochs=1)
    assert {"total", "inputs", "activations", "total-block", "relu", "relu-2"} <= set(callback.observation.curves)


def test_models_without_values_are_refused(tmp_path):
    class Lazy(Net):
        def __init__(self):
            super().__init__()
            self.head = nn.LazyLinear(3)

    with pytest.raises(ValueError, match=r"model: .*no values yet.*head\.weight"):
        train(tmp_path, lens(), module=Lazy(), num_sanity_val_steps=0)


def test_the_cost_of_writing_is_counted(tmp_path):
    callback = lens(figures_every_n=1)
    train(tmp_path, callback, epochs=2)
    assert callback.observation.seconds["writing"] > 0
    assert (
        callback.observation.seconds["total"]
        > sum(v for k, v in callback.observation.seconds.items() if k != "total") * 0.9
    )


def test_a_second_fit_begins_anew(tmp_path):
    callback = lens()
    train(tmp_path / "a", callback)
    first = callback.observation.curves["total"]
    train(tmp_path / "b", callback)
    assert callback.observation.curves["total"] == first


def test_errors_are_those_of_the_factors(tmp_path):
    callback = lens()
    train(tmp_path, callback, epochs=1)
    seen, result = callback.observation, callback.observation.factorization
    sse = result.sse.sum(1)
    rmse = (sse / sum(f.shape[0] * 32 for f in result.W[0])).sqrt()
    assert seen.curves["total"].rmse == pytest.approx(rmse.tolist(), rel=1e-5)
