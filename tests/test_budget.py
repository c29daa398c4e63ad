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


def simulate(max_fraction, epochs, train, observe, clock=None):
    """Epochs of training, with an observation wherever the budget affords one.

    Returns:
        The budget, the epochs with an observation, and the overhead after each of these.
    """
    clock = clock or Clock()
    budget = OverheadBudget(max_fraction, clock)
    budget.start()
    observed = []
    overheads = []
    for epoch in range(epochs):
        if epoch or not budget.n_measured:
            clock.time += train(epoch) if epoch else 0.0
            if budget.can_afford():
                start = budget.elapsed_seconds()
                clock.time += observe(epoch)
                budget.record(budget.elapsed_seconds() - start)
                observed.append(epoch)
                overheads.append(budget.overhead)
            else:
                budget.n_skipped += 1
    return budget, observed, overheads


def test_without_a_limit_every_observation_is_made_and_counted():
    budget, observed, _ = simulate(None, 5, lambda e: 10.0, lambda e: 2.0)
    assert observed == [0, 1, 2, 3, 4]
    assert budget.total_seconds == 10.0
    assert budget.overhead == pytest.approx(10 / 50)
    assert budget.n_skipped == 0


def test_observations_of_equal_cost_are_as_frequent_as_the_limit_allows():
    # An observation of 1 s and epochs of 10 s at 2 %: 50 s earn one observation, which is one every five epochs.
    # The first one is on credit, so the second one comes later.
    budget, observed, overheads = simulate(0.02, 101, lambda e: 9.8, lambda e: 1.0)
    gaps = [b - a for a, b in zip(observed[1:], observed[2:])]
    assert observed[:2] == [0, 11]
    assert set(gaps) == {5}
    assert all(s <= 0.02 for s in overheads[1:])
    assert budget.n_skipped + len(observed) == 101


@pytest.mark.parametrize("seed", range(20))
def test_the_overhead_exceeds_the_limit_only_by_what_an_observation_takes_beyond_its_estimate(seed):
    draw = random.Random(seed)
    limit = draw.choice([0.01, 0.05, 0.2])
    train = [draw.uniform(1, 30) for _ in range(300)]
    cost = [draw.uniform(0.5, 4) for _ in range(300)]
    budget, observed, overheads = simulate(limit, 300, train.__getitem__, cost.__getitem__)
    assert len(observed) > 3
    for k, reached in enumerate(overheads[1:], 1):
        prices = [cost[e] for e in observed[:k]]
        beyond = max(0.0, cost[observed[k]] - max(prices[-1], sum(prices) / k))
        total = sum(train[1 : observed[k] + 1]) + sum(cost[e] for e in observed[: k + 1])
        assert reached <= limit + beyond / total + 1e-9
    assert budget.overhead <= limit * 1.3
    assert budget.overhead >= limit * 0.5  # what is allowed is used


def test_seconds_until_affordable_is_the_training_time_until_the_next_observation():
    clock = Clock()
    budget, _, _ = simulate(0.1, 1, lambda e: 0.0, lambda e: 3.0, clock=clock)
    wait = budget.seconds_until_affordable()
    assert wait == pytest.approx((3 + 3) / 0.1 - 6)
    clock.time += wait - 1e-6
    assert not budget.can_afford()
    clock.time += 2e-6
    assert budget.can_afford()
    assert budget.seconds_until_affordable() == 0


def test_a_resumed_budget_continues_and_the_time_between_is_not_counted():
    clock = Clock()
    whole, observed, _ = simulate(0.05, 80, lambda e: 10.0, lambda e: 1.5, clock=clock)
    first_clock = Clock()
    first, before, _ = simulate(0.05, 40, lambda e: 10.0, lambda e: 1.5, clock=first_clock)
    state = first.state_dict()
    assert all(type(v) in (int, float) for v in state.values())
    late = Clock()
    late.time = 1e9
    second = OverheadBudget(0.05, late)
    second.load_state_dict(state)
    second.start()
    after = []
    for epoch in range(40, 80):
        late.time += 10
        if second.can_afford():
            start = second.elapsed_seconds()
            late.time += 1.5
            second.record(second.elapsed_seconds() - start)
            after.append(epoch)
        else:
            second.n_skipped += 1
    assert before + after == observed
    assert second.state_dict() == pytest.approx(whole.state_dict())


def test_the_first_observation_is_on_credit_and_before_it_there_is_no_overhead():
    budget = OverheadBudget(0.01, Clock())
    assert math.isnan(budget.overhead)
    budget.start()
    assert budget.can_afford()
    assert budget.estimated_seconds() == budget.seconds_until_affordable() == 0


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
    """Makes observations of a known length, most of it sleep."""

    def write(self, observation):
        time.sleep(0.05)

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


def test_in_a_trainer_the_overhead_stays_below_the_limit_and_a_message_says_so(tmp_path, caplog):
    class RecordSkipped(Callback):
        skipped = ()

        def on_train_epoch_end(self, trainer, pl_module):
            self.skipped = (*self.skipped, float(trainer.callback_metrics["factorlens_cost/skipped"]))

    recorded = RecordSkipped()
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        trainer, lens = fit(tmp_path, 20, recorded, max_overhead=0.25)
    budget = lens.state.budget
    assert trainer.current_epoch == 20
    assert 2 < budget.n_measured < 21
    assert budget.n_measured + budget.n_skipped == 21
    assert budget.overhead < 0.3  # on a busy machine the last observation may take long
    assert caplog.text.count("FactorLens skips an observation") == 1
    assert "which max_overhead=0.25 allows after" in caplog.text
    assert f"FactorLens: {budget.n_measured} observations in" in caplog.text
    assert f"; {budget.n_skipped} skipped for max_overhead=0.25." in caplog.text
    assert max(recorded.skipped) > 0
    assert list(recorded.skipped) == sorted(recorded.skipped)


def test_patience_counts_the_observations_that_were_made(tmp_path):
    stop = EarlyStopping("factorlens_total/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer, lens = fit(tmp_path, 60, stop, max_overhead=0.25)
    assert lens.state.budget.n_skipped > 0
    # The one before training, which EarlyStopping reads in epoch 1, then two without improvement.
    assert lens.state.budget.n_measured == 3
    assert trainer.current_epoch < 60


def test_a_budget_that_never_suffices_leaves_one_observation(tmp_path):
    _, lens = fit(tmp_path, 3, every_n_train_steps=1, seconds=0.0, max_overhead=0.001, verbose=False)
    assert lens.state.budget.n_measured == 1
    assert lens.state.budget.n_skipped == 6


SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import test_budget as t
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
    found = {"skipped": lens.state.budget.n_skipped, "measured": lens.state.budget.n_measured, "epoch": trainer.current_epoch}
    json.dump(found, open(f"{sys.argv[1]}/{trainer.global_rank}.json", "w"))
"""


@pytest.mark.slow
def test_two_processes_skip_together(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    here = str(Path(__file__).parent)
    command = [sys.executable, tmp_path / "train.py", tmp_path, here]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert zero["measured"] == 3
    assert zero["skipped"] > 0
    assert zero["epoch"] < 80
