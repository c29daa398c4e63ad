"""The budget against an artificial clock, and inside a real Trainer against the wall clock."""

import json
import logging
import math
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback
from lightning_factorlens.budget import OverheadBudget


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


def observe_once(budget, clock, seconds, is_full, figures=0.0):
    """One observation on an artificial clock."""
    budget.begin()
    clock.time += seconds
    with budget.writing():
        if figures:
            with budget.drawing():
                clock.time += figures
    budget.record(is_full)


def simulate(max_fraction, epochs, train, observe, signal=lambda epoch: 0.0, clock=None):
    """Epochs of training, each with an observation, which is full wherever the budget affords that.

    Returns:
        The budget, the epochs with a full observation, and the overhead after each of these.
    """
    clock = clock or Clock()
    budget = OverheadBudget(max_fraction, clock=clock)
    budget.start()
    observed = []
    overheads = []
    for epoch in range(epochs):
        clock.time += train(epoch) if epoch else 0.0
        if budget.can_afford():
            observe_once(budget, clock, observe(epoch), is_full=True)
            observed.append(epoch)
            overheads.append(budget.overhead)
        else:
            budget.n_signal_only += 1
            observe_once(budget, clock, signal(epoch), is_full=False)
    return budget, observed, overheads


def test_without_a_limit_every_observation_is_full_and_counted():
    budget, observed, _ = simulate(None, 5, lambda e: 10.0, lambda e: 2.0)
    assert observed == [0, 1, 2, 3, 4]
    assert budget.total_seconds == 10.0
    assert budget.overhead == pytest.approx(10 / 50)
    assert budget.n_signal_only == 0


def test_full_observations_of_equal_cost_are_as_frequent_as_the_limit_allows():
    # A full observation of 1 s and epochs of 10 s at 2 %: 50 s earn one, which is one every five epochs.
    # The first one is on credit, so the second one comes later.
    budget, observed, overheads = simulate(0.02, 101, lambda e: 9.8, lambda e: 1.0)
    gaps = [b - a for a, b in zip(observed[1:], observed[2:])]
    assert observed[:2] == [0, 11]
    assert set(gaps) == {5}
    assert all(s <= 0.02 for s in overheads[1:])
    assert budget.n_signal_only + len(observed) == budget.n_measured == 101


def test_observations_of_the_signal_are_paid_from_the_same_account():
    _, without, _ = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5)
    _, observed, overheads = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5, signal=lambda e: 0.05)
    assert 2 < len(observed) < len(without)
    assert all(s <= 0.1 for s in overheads[1:])
    _, only_first, _ = simulate(0.1, 200, lambda e: 1.0, lambda e: 0.5, signal=lambda e: 0.2)
    assert only_first == [0]


@pytest.mark.parametrize("seed", range(20))
def test_the_overhead_exceeds_the_limit_only_by_what_an_observation_takes_beyond_its_price(seed):
    draw = random.Random(seed)
    limit = draw.choice([0.01, 0.05, 0.2])
    train = [draw.uniform(1, 30) for _ in range(300)]
    cost = [draw.uniform(0.5, 4) for _ in range(300)]
    budget, observed, overheads = simulate(limit, 300, train.__getitem__, cost.__getitem__)
    assert len(observed) > 3
    for k, reached in enumerate(overheads[1:], 1):
        beyond = max(0.0, cost[observed[k]] - cost[observed[k - 1]])
        total = sum(train[1 : observed[k] + 1]) + sum(cost[e] for e in observed[: k + 1])
        assert reached <= limit + beyond / total + 1e-9
    assert budget.overhead <= limit * 1.3
    assert budget.overhead >= limit * 0.5  # what is allowed is used


def test_the_last_observation_of_a_run_exceeds_the_limit_by_its_price_at_most():
    clock = Clock()
    for epochs in range(10, 60):
        budget, observed, _ = simulate(0.1, epochs, lambda e: 1.0, lambda e: 0.5, clock=clock)
        assert len(observed) > 1
        observe_once(budget, clock, 0.5, is_full=True)
        assert budget.total_seconds <= 0.1 * budget.elapsed + 0.5


def test_seconds_until_affordable_is_the_training_time_until_the_next_full_observation():
    clock = Clock()
    budget, _, _ = simulate(0.1, 1, lambda e: 0.0, lambda e: 3.0, clock=clock)
    wait = budget.seconds_until_affordable()
    assert wait == pytest.approx((3 + 3) / 0.1 - 3 - 3)
    clock.time += wait - 1e-6
    assert not budget.can_afford()
    clock.time += 2e-6
    assert budget.can_afford()
    assert budget.seconds_until_affordable() == 0


def test_figures_are_allowed_when_their_price_is_covered():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.start()
    budget.begin()
    assert not budget.can_afford_figures()
    clock.time += 1
    budget.record(is_full=True)
    clock.time += 17  # 10 % of 18 + 1 s are 1.9 s: one second was spent, one is the price of figures
    budget.begin()
    assert not budget.can_afford_figures()
    clock.time += 1.9
    assert not budget.can_afford_figures()  # the observation that is being made counts too
    budget.record(is_full=False)
    clock.time += 20
    budget.begin()
    assert budget.can_afford_figures()
    assert OverheadBudget(None, clock=clock).can_afford_figures()


def test_the_price_of_figures_is_what_the_last_ones_took_and_no_part_of_that_of_an_observation():
    clock = Clock()
    budget = OverheadBudget(0.1, clock=clock)
    budget.start()
    observe_once(budget, clock, 1.0, is_full=True, figures=3.0)
    assert (budget.full_seconds, budget.figure_seconds, budget.total_seconds) == (1.0, 3.0, 4.0)
    assert budget.phases == {"figures": 3.0, "writing": 0.0}
    assert budget.write_seconds == 3.0


def test_a_resumed_budget_continues_and_the_time_between_is_not_counted():
    whole, observed, _ = simulate(0.05, 80, lambda e: 10.0, lambda e: 1.5)
    first, before, _ = simulate(0.05, 40, lambda e: 10.0, lambda e: 1.5)
    state = first.state_dict()
    late = Clock()
    late.time = 1e9
    second = OverheadBudget(0.05, clock=late)
    second.load_state_dict(state)
    second.start()
    after = []
    for epoch in range(40, 80):
        late.time += 10
        is_full = second.can_afford()
        second.n_signal_only += not is_full
        observe_once(second, late, 1.5 * is_full, is_full)
        after += [epoch] * is_full
    assert before + after == observed
    resumed, expected = second.state_dict(), whole.state_dict()
    assert resumed.pop("phases") == expected.pop("phases")
    assert resumed == pytest.approx(expected)


def test_the_first_observation_is_on_credit_and_before_it_there_is_no_overhead():
    budget = OverheadBudget(0.01, clock=Clock())
    assert math.isnan(budget.overhead)
    budget.start()
    assert budget.can_afford()
    assert budget.seconds_until_affordable() == 0


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "2%", True, math.nan])
def test_a_wrong_max_overhead_is_named(fraction):
    with pytest.raises(ValueError, match=r"max_overhead: must lie between 0 and 1.*found"):
        FactorLensCallback(max_overhead=fraction)


class Slow(LightningModule):
    """Epochs of a known length, most of it sleep."""

    def __init__(self, seconds):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        self.seconds = seconds

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        time.sleep(self.seconds / 2)
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SlowDisk:
    """Makes full observations of a known length, most of it sleep."""

    def write(self, observation):
        time.sleep(0.05 * observation.is_full)

    def close(self):
        pass


def lens_of(**options):
    return make_callback(
        probe_size=16, ranks=(1, 2), fit_power_law=False, figures_every_n=0, sinks=[SlowDisk()], **options
    )


def fit(tmp_path, epochs, *callbacks, seconds=0.1, **options):
    data = TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    lens = lens_of(**options)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=CSVLogger(tmp_path, name="", version=""), callbacks=[lens, *callbacks],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(Slow(seconds), DataLoader(data, 16), DataLoader(data, 16))
    return trainer, lens


class MonitorsNothing(Callback):
    """Records what the epoch's observation has, as a callback that monitors by another name would."""

    def __init__(self):
        self.n_signal_only = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.n_signal_only.append(float(trainer.callback_metrics["factorlens_cost/signal_only"]))


@pytest.mark.slow
def test_in_a_trainer_full_observations_keep_to_the_limit_and_a_message_says_so(tmp_path, caplog):
    recorded = MonitorsNothing()
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        # A full observation takes 0.05 s or more, and an epoch earns 0.035 s.
        trainer, lens = fit(tmp_path, 20, recorded, seconds=0.3, max_overhead=0.1)
    budget = lens.state.budget
    assert trainer.current_epoch == 20
    assert len(lens.history) == lens.state.n_measured == 21
    assert 2 <= lens.state.n_full < 21
    assert budget.n_signal_only + lens.state.n_full in (21, 22)  # the last one may have been completed
    assert budget.overhead < 0.4  # on a busy machine the last observation may take long
    assert caplog.text.count("FactorLens observes the signal alone (consistency) until") == 1
    assert "which max_overhead=0.1 allows after" in caplog.text
    assert f"FactorLens: 21 observations ({lens.state.n_full} full) in" in caplog.text
    assert max(recorded.n_signal_only) > 0
    assert recorded.n_signal_only == sorted(recorded.n_signal_only)


def test_patience_counts_every_due_observation_whatever_the_clock_says(tmp_path):
    stop = EarlyStopping("factorlens_total/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer, lens = fit(tmp_path, 60, stop, seconds=0.0, max_overhead=0.001)
    assert lens.state.budget.n_signal_only > 0
    # The one of epoch 1 is the best by definition, then two without improvement.
    assert trainer.current_epoch == 3
    assert [observation.epoch for observation in lens.history] == [0, 1, 2, 3]


def test_a_budget_that_never_suffices_leaves_a_full_observation_at_both_ends(tmp_path):
    _, lens = fit(tmp_path, 3, every_n_train_steps=1, seconds=0.0, max_overhead=0.001, verbose=False)
    assert [observation.is_full for observation in lens.history] == [True, False, False, False, False, False, True]
    assert lens.state.budget.n_signal_only == 6


SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import test_overhead_budget as t
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
import torch

if __name__ == "__main__":
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    lens = t.lens_of(verbose=False, max_overhead=0.3)
    stop = t.EarlyStopping("factorlens_total/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer = Trainer(max_epochs=80, accelerator="cpu", devices=2, strategy="ddp", callbacks=[lens, stop], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    module = t.Slow(0.05 if trainer.global_rank else 0.1)  # the clocks of the processes differ
    trainer.fit(module, DataLoader(data, 8), DataLoader(data, 8))
    found = {"full": [o.is_full for o in lens.history], "series": [o.value("rmse", "total", 2) for o in lens.history],
        "epoch": trainer.current_epoch}
    json.dump(found, open(f"{sys.argv[1]}/{trainer.global_rank}.json", "w"))
"""


@pytest.mark.slow
def test_two_processes_make_the_same_observations(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    here = str(Path(__file__).parent)
    command = [sys.executable, tmp_path / "train.py", tmp_path, here]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert zero["epoch"] == 3
    assert len(zero["full"]) == 4
    assert (zero["full"][0], zero["full"][-1]) == (True, True)
    assert None not in zero["series"]
