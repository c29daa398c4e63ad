"""Observations of the signal alone between full ones: what is measured, kept and published."""

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn
from training import Net, lens, loaders, scalars, train

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.callbacks._signal import monitored_by_others, signal_of
from lightning_factorlens.loggers.json_lines import JSONLinesSink, read_jsonl
from lightning_factorlens.measurements import Consistency, Measurement, default_measurements
from lightning_factorlens.results.serialization import from_json, to_json
from lightning_factorlens.stopping import Patience

#: No observation but the first and the last one is full.
TINY = 1e-9
#: Scalar of the factorisation that tests monitor.
RANK = "effective_rank"


class NeverAffordable:
    """Makes the account's answers known: the numbers of the full observations."""

    def __init__(self, monkeypatch, *numbers):
        from lightning_factorlens.budget import OverheadBudget

        monkeypatch.setattr(OverheadBudget, "can_afford", lambda budget: budget.n_measured in numbers)


class Recorded(Callback):
    """What callbacks find after each epoch."""

    def __init__(self):
        self.metrics = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.metrics.append({tag: float(value) for tag, value in trainer.callback_metrics.items()})


def series(callback, quantity="consistency"):
    """The finite values of the run; ``total`` is the scope of the effective rank."""
    scope = "total" if quantity == RANK else None
    return [observation.value(quantity, scope) for observation in callback.history]


def test_the_first_and_the_last_observation_are_full_and_the_others_have_the_signal(tmp_path):
    callback = lens(max_overhead=TINY)
    train(tmp_path, callback, epochs=4)
    assert [observation.is_full for observation in callback.history] == [True, False, False, False, True]
    assert [observation.epoch for observation in callback.history] == [0, 1, 2, 3, 4]
    assert list(callback.history[2].records) == ["consistency", "cost"]
    assert list(callback.history[4].records) == [*callback.history[0].records]
    assert callback.observation.factorization is not None
    assert (callback.state.n_measured, callback.state.n_full) == (5, 2)


def test_the_signal_and_the_stop_are_the_same_whatever_the_clock_says(tmp_path, monkeypatch):
    found = []
    for name, options in {"all": {"max_overhead": None}, "few": {"max_overhead": TINY}, "some": {}}.items():
        if name == "some":
            NeverAffordable(monkeypatch, 0, 3, 4, 8)
            options = {"max_overhead": 0.5}
        callback = lens(**options)
        stopping = LabelFreeStopping(mode="stop", verbose=False)
        early = EarlyStopping("factorlens/consistency", patience=3, check_on_train_epoch_end=True)
        trainer, module = train(tmp_path / name, callback, stopping, early, epochs=12)
        weights = torch.cat([p.detach().flatten() for p in module.parameters()])
        found.append((series(callback), trainer.current_epoch, early.best_score, stopping.decision, weights.tolist()))
        assert len(callback.history) == trainer.current_epoch + 1
    assert found[0] == found[1] == found[2]
    assert None not in found[0][0]


@pytest.mark.parametrize("resample", [False, True])
def test_a_signal_with_a_factorisation_is_the_same_too(tmp_path, resample):
    found = []
    for limit in (None, TINY):
        early = EarlyStopping("factorlens/effective_rank", patience=2, check_on_train_epoch_end=True)
        callback = lens(max_overhead=limit, resample_probe=resample)
        trainer, _ = train(tmp_path / str(limit), callback, early, epochs=5)
        found.append((series(callback, RANK), series(callback), early.best_score, trainer.current_epoch))
    assert found[0] == found[1]
    assert None not in found[0][0] + found[0][1]
    assert callback.history[1].get("effective_rank") is not None
    assert callback.history[1].get("weight_spectra") is None


class Fails(Measurement):
    """A measurement that fails after some epochs, as an SVD of weights that diverge does."""

    name = "fails"
    needs = frozenset({"capture"})

    def measure(self, context):
        if context.epoch in (2, 4, 5):
            raise RuntimeError("no value")


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.filterwarnings("ignore:FactorLens could not observe")
def test_the_signal_is_the_same_where_another_measurement_fails(tmp_path, resample):
    found = []
    for limit in (None, TINY):
        stopping = LabelFreeStopping(rule=Patience(patience=2), mode="stop", verbose=False)
        callback = lens(max_overhead=limit, resample_probe=resample, measurements=[Fails(), *default_measurements()])
        trainer, _ = train(tmp_path / str(limit), callback, stopping, epochs=7)
        found.append((series(callback), trainer.current_epoch, stopping.decision))
    assert found[0] == found[1]
    assert None not in found[0][0]
    assert len(found[0][0]) == found[0][1] + 1 > 3


@pytest.mark.filterwarnings("ignore:FactorLens could not observe")
def test_a_failure_of_an_observation_is_counted_once_and_the_signal_in_its_place_is_not_full(tmp_path):
    callback = lens(max_overhead=None, measurements=[Fails(), *default_measurements()])
    train(tmp_path, callback, epochs=6)
    assert [observation.epoch for observation in callback.history if not observation.is_full] == [2, 4, 5]
    assert (callback.state.n_failed, callback.state.n_measured, callback.state.n_full) == (3, 7, 4)


class TwoOutputs(Net):
    """Two outputs that may be class scores: only the loss of the first training step tells which one is."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(10, 3)

    def forward(self, x):
        return self.other(x.mean((1, 2))), super().forward(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0])[1], batch[1])

    def validation_step(self, batch, batch_idx):
        pass


def test_a_signal_that_begins_after_the_first_training_step_goes_on(tmp_path):
    found = []
    for limit in (None, TINY):
        callback = lens(max_overhead=limit)
        torch.manual_seed(0)
        train(tmp_path / str(limit), callback, epochs=5, module=TwoOutputs())
        found.append(series(callback))
    assert found[0] == found[1]
    assert None not in found[0][1:]


def test_values_that_were_not_measured_stay_in_the_metrics_and_are_not_the_epochs(tmp_path):
    recorded = Recorded()
    callback = lens(max_overhead=TINY)
    per_epoch = []

    class Epoch(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            per_epoch.append(callback.epoch_metrics)

    train(tmp_path, callback, recorded, Epoch(), epochs=3)
    first = callback.history[0].value(RANK, "total")
    for metrics in recorded.metrics:
        assert metrics["factorlens/effective_rank"] == pytest.approx(first)
    assert all("factorlens/effective_rank" not in metrics for metrics in per_epoch)
    assert [metrics["factorlens/consistency"] for metrics in per_epoch] == series(callback)[1:]
    assert callback.metrics["factorlens/effective_rank"] == callback.history[-1].value(RANK, "total")


def test_loggers_and_files_get_every_number_once(tmp_path):
    callback = lens(max_overhead=TINY, sinks=[JSONLinesSink(tmp_path / "curves.jsonl")])
    train(tmp_path, callback, epochs=3)
    found = scalars(tmp_path)
    assert [step for step, _ in found["factorlens/consistency"]] == [0, 3, 7, 11]
    assert [step for step, _ in found["factorlens/effective_rank"]] == [0, 11]
    lines = read_jsonl(tmp_path / "curves.jsonl")
    assert [to_json(line.without_tensors()) for line in lines] == list(map(to_json, callback.history))
    assert [line.is_full for line in lines] == [True, False, False, True]


def test_an_old_line_is_a_full_observation():
    assert from_json('{"epoch":1,"step":2,"records":{}}').is_full


def test_a_run_that_ends_between_two_observations_gets_a_full_one_of_its_last_weights(tmp_path):
    callback = lens(max_overhead=TINY, every_n_epochs=2)
    train(tmp_path, callback, epochs=5)
    assert [(observation.epoch, observation.is_full) for observation in callback.history] == [
        (0, True), (2, False), (4, False), (5, True)
    ]  # fmt: skip
    assert callback.history[-1].step == 19
    assert callback.metrics["factorlens/consistency"] == callback.history[2].value("consistency")


def test_a_resumed_run_continues_the_signal_after_its_end(tmp_path):
    whole = lens(max_overhead=TINY)
    train(tmp_path / "whole", whole, epochs=6)
    first = lens(max_overhead=TINY)
    trainer, _ = train(tmp_path / "first", first, epochs=3)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    second = lens(max_overhead=TINY)

    trainer = Trainer(max_epochs=6, accelerator="cpu", logger=False, callbacks=[second], enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False)  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=tmp_path / "end.ckpt")
    assert len(second.history) == 7
    assert [o.is_full for o in second.history] == [True, False, False, True, False, False, True]
    averages = [c.state.warm_start.states["consistency"]["average"] for c in (whole, second)]
    assert averages[0].shape == averages[1].shape


def test_nothing_is_measured_between_where_there_is_no_signal(tmp_path):
    measurements = [m for m in default_measurements() if m.name != "consistency"]
    callback = lens(max_overhead=TINY, measurements=measurements)
    train(tmp_path, callback, epochs=3)
    assert [(o.epoch, o.is_full) for o in callback.history] == [(0, True), (3, True)]
    assert callback.state.budget.n_signal_only == 3


def test_a_lens_of_the_signal_alone_is_always_full(tmp_path):
    callback = lens(max_overhead=TINY, measurements=[Consistency()])
    train(tmp_path, callback, epochs=3)
    assert all(observation.is_full for observation in callback.history)
    assert callback.state.n_full == 4


def test_what_others_monitor_is_found(tmp_path):
    class Look(Callback):
        def on_train_start(self, trainer, pl_module):
            self.found = monitored_by_others(trainer)

    look = Look()
    checkpoint = ModelCheckpoint(tmp_path, monitor="factorlens_spectra/mean_alpha")
    options = {"enable_checkpointing": True, "module": Net(schedule="factorlens_total/rmse/rank_2")}
    train(tmp_path, lens(max_overhead=TINY), checkpoint, LabelFreeStopping(), look, epochs=1, **options)
    assert {"factorlens_spectra/mean_alpha", "factorlens_total/rmse/rank_2", "factorlens/accuracy_signal"} <= look.found
    chosen = signal_of(default_measurements(), "factorlens", look.found, [])
    assert [m.name for m in chosen] == ["consistency", "reconstruction_error", "weight_spectra"]


def test_the_default_is_a_limit_and_none_switches_it_off():
    assert FactorLensCallback().max_overhead == 0.1
    assert FactorLensCallback(max_overhead=None).max_overhead is None


def test_the_last_observation_of_a_run_by_steps_has_a_step_of_its_own(tmp_path):
    callback = lens(max_overhead=TINY, every_n_train_steps=3, sinks=[JSONLinesSink(tmp_path / "curves.jsonl")])
    train(tmp_path, callback, epochs=2)
    steps = [observation.step for observation in callback.history]
    assert steps == [0, 2, 5, 7]
    assert [line.step for line in read_jsonl(tmp_path / "curves.jsonl")] == steps
