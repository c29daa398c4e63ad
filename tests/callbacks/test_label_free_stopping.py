"""LabelFreeStopping in a real Trainer, between FactorLensCallback and ModelCheckpoint."""

import json
import logging
import math
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scheduled_training import MONITOR, Recorder, Scheduled, lens, stopping
from torch.optim import lr_scheduler as schedules
from training import Net, Snapshot, loaders, scalars, train
from versions import lightning_ends_a_resumed_epoch

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.stopping import (
    AfterAnnealing,
    AnyOf,
    Maximize,
    OnMetric,
    Patience,
    Smoothing,
    epoch_infos,
    replay,
)


def keeper(tmp_path, **options):
    return ModelCheckpoint(tmp_path, "{epoch}", monitor="factorlens/stop_score", mode="min", **options)


RULE = Patience(2)


@pytest.mark.parametrize("first", [True, False], ids=["lens-first", "stop-first"])
def test_training_stops_at_the_rules_epoch_and_the_rules_best_is_kept(tmp_path, first, caplog):
    recorder, keep, stop = Recorder(), keeper(tmp_path / "kept"), stopping(rule=RULE, mode="stop")
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        callbacks = [keep, lens(detail="all"), recorder, stop] if first else [keep, stop, recorder, lens(detail="all")]
        trainer, _ = train(tmp_path, *callbacks, epochs=30, enable_checkpointing=True)
    points = [value for _, value in scalars(tmp_path)[MONITOR]][1:]  # without the measurement before training
    decisions = replay(RULE, points)
    expected = [d.stop for d in decisions].index(True) + 1
    assert trainer.current_epoch == expected == len(points) < 30
    assert stop.stopped_epoch == expected - 1
    assert keep.best_model_path.endswith(f"epoch={decisions[-1].best_epoch - 1}.ckpt")
    assert scalars(tmp_path)["factorlens/stop_best_epoch"][-1][1] == decisions[-1].best_epoch
    assert [v for _, v in scalars(tmp_path)["factorlens/should_stop"]] == [float(d.stop) for d in decisions]
    assert [s for s, _ in scalars(tmp_path)["factorlens/stop_score"]] == [4 * e - 1 for e in range(1, expected + 1)]
    assert caplog.text.count("LabelFreeStopping stops training: factorlens/consistency: no value below") == 1


def test_the_score_falls_at_every_new_best_and_only_there(tmp_path):
    train(tmp_path, lens(detail="all"), stopping(rule=RULE), epochs=14)
    found = scalars(tmp_path)
    series, scores = ([v for _, v in found[t]] for t in (MONITOR, "factorlens/stop_score"))
    bests = [d.best_epoch for d in replay(RULE, series[1:])]
    assert len(set(bests)) > 1
    for t, (best, score) in enumerate(zip(bests, scores)):
        assert (score < min(scores[:t], default=0.0)) == (best == t + 1)


def test_advice_changes_nothing_and_is_reported_once(tmp_path, caplog):
    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, epochs=8)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        trainer, _ = train(tmp_path / "b", stopping(rule=Patience(1)), lens(), observed, epochs=8)
    assert trainer.current_epoch == 8
    assert all(torch.equal(v, observed.weights[k]) for k, v in alone.weights.items())
    assert all(
        torch.equal(v, observed.optimizer["state"][k][n])
        for k, s in alone.optimizer["state"].items()
        for n, v in s.items()
    )
    assert torch.equal(alone.random[0], observed.random[0])
    assert sum(v for _, v in scalars(tmp_path / "b")["factorlens/should_stop"]) > 1
    assert caplog.text.count("LabelFreeStopping would stop: factorlens/consistency: no value below") == 1


def resume(tmp_path, path, *callbacks, epochs):
    torch.manual_seed(3)
    trainer = Trainer(
        max_epochs=epochs, callbacks=list(callbacks), logger=TensorBoardLogger(tmp_path, name="", version=""),
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Net(), *ordered(), ckpt_path=path)
    return trainer


def ordered():
    """Loaders without shuffling, so that a resumed run gets the same batches."""
    from torch.utils.data import DataLoader

    first, second = loaders()
    return DataLoader(first.dataset, 16), second


class Deterministic(Net):
    """The network without dropout, so that training draws no random numbers."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Identity()


@pytest.mark.parametrize(
    "after_measurement",
    [
        pytest.param(True, id="after-measurement"),
        pytest.param(False, id="before-measurement", marks=lightning_ends_a_resumed_epoch),
    ],
)
def test_a_resumed_stop_equals_an_uninterrupted_one(tmp_path, monkeypatch, after_measurement):
    monkeypatch.setattr(sys.modules[__name__], "Net", Deterministic)
    rule = AfterAnnealing(Patience(3, smoothing=Smoothing(3, 0.5)))
    whole = stopping(rule=rule, mode="stop")
    kept = {"every_n_epochs": 1, "save_on_train_epoch_end": True} if after_measurement else {"every_n_train_steps": 4}
    keep = ModelCheckpoint(tmp_path / "kept", "{epoch}", save_top_k=-1, **kept)
    torch.manual_seed(3)
    trainer, _ = train(
        tmp_path / "a",
        lens(),
        whole,
        keep,
        epochs=40,
        module=Deterministic(),
        data=ordered(),
        enable_checkpointing=True,
    )
    assert 5 <= trainer.current_epoch < 40
    for cut in (1, trainer.current_epoch - 3, trainer.current_epoch - 1):
        path = tmp_path / "kept" / f"epoch={cut - 1}.ckpt"
        saved = torch.load(path, weights_only=True)["callbacks"]
        assert any("LabelFreeStopping" in k for k in saved)
        again = stopping(rule=rule, mode="stop")
        resumed = resume(tmp_path / f"b{cut}", path, again, lens(), epochs=40)
        assert resumed.current_epoch == trainer.current_epoch
        assert again.decision == whole.decision
        assert again.state_dict() == whole.state_dict()


def test_a_resume_with_another_rule_warns_and_starts_anew():
    old, new = stopping(rule=Patience(2)), stopping(rule=Patience(3))
    with pytest.warns(UserWarning, match=r"the checkpoint's rule was .*Patience\(patience=2.*it starts anew"):
        new.load_state_dict(old.state_dict())


@pytest.mark.parametrize("restore_best", [True, "average"])
def test_a_run_that_was_begun_for_the_loss_resumes_with_the_default(tmp_path, restore_best, monkeypatch):
    monkeypatch.setattr("lightning_factorlens.measurements.consistency.LEAST_DISTINCTION", 0.0)
    begun = LabelFreeStopping(target="loss", restore_best=restore_best)
    train(tmp_path, lens(), begun, ModelCheckpoint(tmp_path, "begun"), epochs=7, enable_checkpointing=True)
    again = LabelFreeStopping(restore_best=restore_best)
    with pytest.warns(UserWarning, match="the checkpoint's rule was .*loss_signal.* now it is .*accuracy_signal.*anew"):
        trainer = resume(tmp_path / "again", tmp_path / "begun.ckpt", again, lens(), epochs=9)
    assert trainer.current_epoch == 9
    assert again.state_dict()["rule"] == repr((again.monitor, again.rule))
    assert begun.decision.best_epoch in (6, 7) and again.decision.best_epoch in (8, 9)


def test_the_stop_waits_for_min_epochs_and_min_steps(tmp_path):
    stop = lambda: stopping(rule=Patience(1), mode="stop")  # noqa: E731
    early, _ = train(tmp_path / "a", lens(), stop(), epochs=30)
    points = [value for _, value in scalars(tmp_path / "a")[MONITOR]][1:]
    assert early.current_epoch == [d.stop for d in replay(Patience(1), points)].index(True) + 1
    for name, options in (("b", {"min_epochs": 9}), ("c", {"min_steps": 36})):
        trainer, _ = train(tmp_path / name, lens(), stop(), epochs=30, **options)
        points = [value for _, value in scalars(tmp_path / name)[MONITOR]][1:]
        stops = [d.stop for d in replay(Patience(1), points)]
        assert early.current_epoch < 9 <= trainer.current_epoch == stops.index(True, 8) + 1  # not latched before


def test_epochs_without_a_measurement_give_no_decision(tmp_path):
    rule = Maximize(Patience(2))  # the metric keeps falling
    stop = stopping(rule=rule, mode="stop")
    trainer, _ = train(tmp_path, stop, lens(every_n_epochs=3, detail="all"), epochs=60)
    points = [value for _, value in scalars(tmp_path)[MONITOR]][1:]
    decisions = replay(rule, points, epoch_infos(len(points), epochs=[3 * i for i in range(1, len(points) + 1)]))
    assert trainer.current_epoch == 3 * ([d.stop for d in decisions].index(True) + 1) < 60
    assert stop.decision.best_epoch == decisions[-1].best_epoch
    assert len(scalars(tmp_path)["factorlens/stop_score"]) == len(points)


def test_a_failing_measurement_gives_no_decision(tmp_path, monkeypatch):
    callback, stop = lens(), stopping(rule=Patience(1), mode="stop")

    class FailFromSecondEpoch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                monkeypatch.setattr(callback.lens, "begin", lambda *_: 1 / 0)

    with pytest.warns(UserWarning, match="could not observe"):
        trainer, _ = train(tmp_path, callback, stop, FailFromSecondEpoch(), epochs=5)
    assert trainer.current_epoch == 5
    assert stop.decision.best_epoch == 1


def test_mode_lr_scales_the_rates_instead(tmp_path):
    recorder, rule = Recorder(), Patience(1)
    stop = stopping(rule=rule, mode="lr", factor=0.5, min_lr=3e-3, cooldown=2)
    trainer, _ = train(tmp_path, lens(), stop, recorder, epochs=25)
    assert trainer.current_epoch == 25
    points = [value for _, value in scalars(tmp_path)[MONITOR]][1:]
    rates, rate, state, rest = [], 1e-2, rule.start(), 0
    for value, info in zip(points, epoch_infos(25)):
        rates.append(rate)
        state, decision = rule.step(state, value, info)
        if rest:
            rest -= 1
        elif decision.stop and rate > 3e-3:
            rate, state, rest = max(rate * 0.5, 3e-3), rule.start(), 2
    assert recorder.rates == pytest.approx(rates)
    assert rates[-1] == 3e-3 and len(set(rates)) == 3


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_an_annealed_rate_is_awaited_as_planned(tmp_path, interval):
    epochs, batches = 16, 4
    steps = epochs * (batches if interval == "step" else 1)
    module = Scheduled(lambda o: schedules.CosineAnnealingLR(o, steps), interval)
    rule = AfterAnnealing(Maximize(Patience(1)), floor=0.2)
    stop = stopping(rule=rule, mode="stop")
    trainer, _ = train(tmp_path, lens(), stop, epochs=epochs, module=module)
    cosine = [0.5 * (1 + math.cos(math.pi * t / steps)) for t in range(steps)]
    ends = cosine if interval == "epoch" else cosine[3::4]  # the rate of each epoch's last batch
    first = next(e for e, fraction in enumerate(ends, 1) if fraction <= 0.2)
    points = [value for _, value in scalars(tmp_path)[MONITOR]][1:]
    decisions = replay(rule, points, epoch_infos(epochs, [0.02 * r for r in ends])[: len(points)])
    assert trainer.current_epoch > first
    assert not any(d.stop for d in decisions[:-1])
    assert stop.decision.reason == decisions[-1].reason
    bests = [v for _, v in scalars(tmp_path)["factorlens/stop_best_epoch"]]
    assert bests[: first - 1] == list(range(1, first))


def test_several_metrics_and_two_instances(tmp_path):
    one = stopping(rule=AnyOf([Patience(9), OnMetric(Patience(9), "factorlens/effective_rank")]))
    two = LabelFreeStopping(monitor="factorlens_total/rmse/rank_2", rule=Patience(9), tag_name="rmse")
    train(tmp_path, one, lens(detail="all"), two, epochs=2)
    assert {"factorlens/stop_score", "factorlens/rmse_score", "factorlens/should_rmse"} <= scalars(tmp_path).keys()


def test_a_misconfiguration_fails_before_training(tmp_path):
    def fails(match, *callbacks, module=None):
        with pytest.raises(MisconfigurationException, match=match):
            train(tmp_path, *callbacks, module=module)

    fails(r"needs a FactorLensCallback with prefix 'factorlens'.*found prefixes: none", LabelFreeStopping())
    fails("prefix 'factorlens'.*found prefixes: 'other'", lens(prefix="other"), stopping())
    known = "no such value; there are: .*factorlens/consistency"
    absent = LabelFreeStopping(monitor="factorlens/loss")
    fails(rf"LabelFreeStopping\(monitor='factorlens/loss'\).*{known}", absent, lens())
    rule = OnMetric(Patience(), "factorlens/loss")
    fails("FactorLens logs no 'factorlens/loss'; there are: .*consistency", stopping(rule=rule), lens())
    module = Scheduled(lambda o: schedules.OneCycleLR(o, 0.1, total_steps=100), "step")
    fails("cannot scale the learning rates of OneCycleLR", stopping(mode="lr"), lens(), module=module)
    late = ModelCheckpoint(tmp_path, monitor="factorlens/stop_score", save_on_train_epoch_end=False)
    with pytest.raises(MisconfigurationException, match="pass save_on_train_epoch_end=True"):
        train(tmp_path, lens(), stopping(), late, enable_checkpointing=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "loss"}, "monitor: must be a tag such as 'factorlens/accuracy_signal', found 'loss'"),
        ({"rule": "patience"}, r"rule: must be a rule such as Patience\(\) or None for the default, found 'patience'"),
        ({"mode": "warn"}, "mode: found 'warn', allowed are 'advise', 'stop', 'lr'"),
        ({"factor": 1.0}, r"factor: must be a number between 0 and 1, found 1\.0"),
        ({"min_lr": -1}, "min_lr: must be a number ≥ 0, found -1"),
        ({"cooldown": -1}, "cooldown: must be a whole number ≥ 0, found -1"),
        ({"verbose": 1}, "verbose: must be True or False, found 1"),
    ],
    ids=str,
)
def test_an_error_names_the_wrong_argument(options, message):
    with pytest.raises(ValueError, match=message):
        stopping(**options)


DDP = """
import json, sys, warnings
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.stopping import Maximize, Patience

out = sys.argv[1]
warnings.simplefilter("ignore")
torch.set_num_threads(1)


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), 1e-2)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 1.0)]


class Report(Callback):
    def __init__(self):
        self.series, self.rates = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        self.series.append(lower.decision.score if lower.decision else None)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_end(self, trainer, pl_module):
        state = {"epoch": trainer.current_epoch, "series": self.series, "rates": self.rates,
                 "stop": stop.state_dict(), "lower": lower.state_dict(), "best": keep.best_model_path,
                 "weights": float(sum(p.double().sum() for p in pl_module.parameters()))}
        with open(f"{out}/{trainer.global_rank}.json", "w") as f:
            json.dump(state, f)


g = torch.Generator().manual_seed(0)
data = TensorDataset(torch.rand(64, 1, 8, 8, generator=g), torch.randint(0, 3, (64,), generator=g))
lens = FactorLensCallback(probe_size=32, lens=LensOptions(ranks=(1, 2)), max_overhead=None, verbose=False)
stop = LabelFreeStopping(monitor="factorlens/consistency", rule=Maximize(Patience(3)), mode="stop", verbose=False)
lower = LabelFreeStopping(monitor="factorlens/consistency", rule=Maximize(Patience(2)), mode="lr", factor=0.5, tag_name="lower", verbose=False)
keep = ModelCheckpoint(out, "{epoch}", monitor="factorlens/stop_score", mode="min", save_on_train_epoch_end=True)
if __name__ == "__main__":
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=20, accelerator="cpu", devices=2, strategy="ddp", callbacks=[keep, stop, lower, lens, Report()],
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Net(), DataLoader(data, 8), DataLoader(data, 8))
"""


@pytest.mark.slow
def test_two_processes_stop_together_and_scale_the_same_rates(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(DDP)
    run = subprocess.run([sys.executable, script, tmp_path], timeout=240, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert 4 <= zero["epoch"] < 20
    assert zero["best"].endswith(f"epoch={zero['stop']['best_epoch'] - 1}.ckpt")
    assert zero["rates"][-1] < 1e-2 == zero["rates"][0]


def test_a_yaml_file_can_name_rule_and_options():
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(LabelFreeStopping, "stopping")
    text = """
stopping:
  mode: lr
  min_lr: 0.001
  rule:
    class_path: lightning_factorlens.stopping.AfterAnnealing
    init_args:
      floor: 0.05
      rule:
        class_path: lightning_factorlens.stopping.Patience
        init_args: {patience: 7, smoothing: {window: 3, weight: 0.5}}
"""
    made = parser.instantiate_classes(parser.parse_string(text)).stopping
    assert made.rule == AfterAnnealing(Patience(7, smoothing=Smoothing(3, 0.5)), floor=0.05)
    assert (made.action, made.min_lr) == ("lr", 0.001)
