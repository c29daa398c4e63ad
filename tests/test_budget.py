"""The credit account against a clock of our own, and inside a real Trainer against the wall's."""

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


def life(share, epochs, train, look, account=None, clock=None):
    """Epochs of training and looks where the account affords them; the epochs that had one, and the share after each."""
    clock = clock or Clock()
    account = account or OverheadBudget(share, clock)
    account.start()
    looked, shares = [], []
    for epoch in range(epochs):
        if epoch or not account.n_measured:
            clock.time += train(epoch) if epoch else 0.0
            if account.can_afford():
                start = account.elapsed_seconds()
                clock.time += look(epoch)
                account.record(account.elapsed_seconds() - start)
                looked.append(epoch)
                shares.append(account.overhead)
            else:
                account.n_skipped += 1
    return account, looked, shares


def test_without_a_limit_every_look_is_taken_and_counted():
    account, looked, _ = life(None, 5, lambda e: 10.0, lambda e: 2.0)
    assert looked == [0, 1, 2, 3, 4]
    assert account.total_seconds == 10.0
    assert account.overhead == pytest.approx(10 / 50)
    assert account.n_skipped == 0


def test_equal_looks_come_as_often_as_the_share_allows():
    # A look of 1 s and epochs of 10 s at 2 %: 50 s of time pay for a look, so one in five epochs, the first two on credit.
    account, looked, shares = life(0.02, 101, lambda e: 9.8, lambda e: 1.0)
    gaps = [b - a for a, b in zip(looked[1:], looked[2:])]
    assert looked[:2] == [0, 11]
    assert set(gaps) == {5}
    assert all(s <= 0.02 for s in shares[1:])
    assert account.n_skipped + len(looked) == 101


@pytest.mark.parametrize("seed", range(20))
def test_the_share_stays_below_the_limit_but_for_what_a_look_takes_beyond_its_price(seed):
    draw = random.Random(seed)
    share = draw.choice([0.01, 0.05, 0.2])
    train = [draw.uniform(1, 30) for _ in range(300)]
    cost = [draw.uniform(0.5, 4) for _ in range(300)]
    account, looked, shares = life(share, 300, train.__getitem__, cost.__getitem__)
    assert len(looked) > 3
    for k, reached in enumerate(shares[1:], 1):
        prices = [cost[e] for e in looked[:k]]
        beyond = max(0.0, cost[looked[k]] - max(prices[-1], sum(prices) / k))
        total = sum(train[1 : looked[k] + 1]) + sum(cost[e] for e in looked[: k + 1])
        assert reached <= share + beyond / total + 1e-9
    assert account.overhead <= share * 1.3
    assert account.overhead >= share * 0.5  # and what is allowed is used


def test_the_wait_is_the_training_time_until_the_next_look_is_paid_for():
    clock = Clock()
    account, _, _ = life(0.1, 1, lambda e: 0.0, lambda e: 3.0, clock=clock)
    wait = account.seconds_until_affordable()
    assert wait == pytest.approx((3 + 3) / 0.1 - 6)
    clock.time += wait - 1e-6
    assert not account.can_afford()
    clock.time += 2e-6
    assert account.can_afford()
    assert account.seconds_until_affordable() == 0


def test_a_resumed_account_goes_on_and_the_time_between_is_nobodys():
    clock = Clock()
    whole, looked, _ = life(0.05, 80, lambda e: 10.0, lambda e: 1.5, clock=clock)
    first_clock = Clock()
    first, before, _ = life(0.05, 40, lambda e: 10.0, lambda e: 1.5, clock=first_clock)
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
    assert before + after == looked
    assert second.state_dict() == pytest.approx(whole.state_dict())


def test_the_first_look_is_on_credit_and_an_empty_account_has_no_share():
    account = OverheadBudget(0.01, Clock())
    assert math.isnan(account.overhead)
    account.start()
    assert account.can_afford()
    assert account.estimated_seconds() == account.seconds_until_affordable() == 0


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, "2%", True, math.nan])
def test_a_wrong_share_is_named(share):
    with pytest.raises(ValueError, match=r"max_overhead: must lie between 0 and 1.*found"):
        FactorLensCallback(max_overhead=share)


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
    """Makes looks of a known length, most of it sleep."""

    def write(self, observation):
        time.sleep(0.05)

    def close(self):
        pass


def lens_of(**options):
    return FactorLensCallback(
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


def test_in_a_trainer_the_share_stays_below_and_it_is_said(tmp_path, caplog):
    class Told(Callback):
        skipped = ()

        def on_train_epoch_end(self, trainer, pl_module):
            self.skipped = (*self.skipped, float(trainer.callback_metrics["factorlens/skipped"]))

    told = Told()
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        trainer, lens = fit(tmp_path, 20, told, max_overhead=0.25)
    account = lens.state.budget
    assert trainer.current_epoch == 20
    assert 2 < account.n_measured < 21
    assert account.n_measured + account.n_skipped == 21
    assert account.overhead < 0.3  # a busy machine may draw out the last look
    assert caplog.text.count("FactorLens skips a look") == 1
    assert "which max_overhead=0.25 pays for after" in caplog.text
    assert f"FactorLens: {account.n_measured} looks in" in caplog.text
    assert f"; {account.n_skipped} skipped for max_overhead=0.25." in caplog.text
    assert max(told.skipped) > 0
    assert list(told.skipped) == sorted(told.skipped)


def test_patience_counts_looks_that_were_paid_for(tmp_path):
    stop = EarlyStopping("factorlens/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer, lens = fit(tmp_path, 60, stop, max_overhead=0.25)
    assert lens.state.budget.n_skipped > 0
    assert (
        lens.state.budget.n_measured == 3
    )  # the one before training, which epoch 1 reads, then two without improvement
    assert trainer.current_epoch < 60


def test_a_budget_that_never_pays_leaves_one_look(tmp_path):
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
    stop = t.EarlyStopping("factorlens/rmse/rank_2", patience=2, min_delta=100.0, check_on_train_epoch_end=True)
    trainer = Trainer(max_epochs=80, accelerator="cpu", devices=2, strategy="ddp", callbacks=[lens, stop], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    module = t.Slow(0.05 if trainer.global_rank else 0.1)  # clocks that do not agree
    trainer.fit(module, DataLoader(data, 8), DataLoader(data, 8))
    told = {"skipped": lens.state.budget.n_skipped, "looks": lens.state.budget.n_measured, "epoch": trainer.current_epoch}
    json.dump(told, open(f"{sys.argv[1]}/{trainer.global_rank}.json", "w"))
"""


@pytest.mark.slow
def test_two_processes_skip_together(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    here = str(Path(__file__).parent)
    command = [sys.executable, tmp_path / "train.py", tmp_path, here]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    zero, one = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert zero == one
    assert zero["looks"] == 3
    assert zero["skipped"] > 0
    assert zero["epoch"] < 80
