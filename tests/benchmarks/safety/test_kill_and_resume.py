"""A run killed by SIGKILL and resumed from Lightning's last checkpoint logs and stops as an uninterrupted run does."""

import logging
import random

import lightning
import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from models import Classifier
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.safety.kill_and_resume.comparison import compare
from benchmarks.safety.kill_and_resume.runs import RUNS, random_kills
from benchmarks.safety.kill_and_resume.train import MEASUREMENT
from lightning_factorlens.results.serialization import to_json

STEPS, LAST_BATCHES = RUNS[2], RUNS[-2:]
resumes = pytest.mark.skipif(
    tuple(map(int, lightning.__version__.split(".")[:2])) < (2, 6),
    reason="older versions of Lightning resume from within an epoch at another step, with or without a lens",
)


def check(outcome, kills):
    assert outcome.kills == kills
    assert outcome.points > 300
    assert outcome.first_differences == ()
    assert outcome.stopped_killed == outcome.stopped_whole > 2
    assert outcome.same_weights


@pytest.mark.slow
@resumes
def test_a_run_killed_in_a_measurement_and_in_the_middle_of_an_epoch_logs_the_same(tmp_path):
    check(compare(STEPS, tmp_path, [(3, MEASUREMENT), (8, "on_before_optimizer_step")]), 2)


@pytest.mark.slow
@resumes
@pytest.mark.parametrize(
    "run", [LAST_BATCHES[0], pytest.param(LAST_BATCHES[1], marks=pytest.mark.slow)], ids=lambda run: run.name
)
def test_the_measurement_and_the_stop_that_lightning_skips_are_made_up_for(tmp_path, run):
    """It resumes behind the end of an epoch whose last batch wrote the checkpoint."""
    check(compare(run, tmp_path, run.kills), 1)


@resumes
@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_ten_kills_at_random_places(tmp_path, run):
    outcome = compare(run, tmp_path, run.kills or random_kills(random.Random(run.name), 10))
    check(outcome, outcome.kills)
    assert outcome.kills > 0


class Net(Classifier):
    """Signs that training turns: the last layer's module is no known activation, and positive only at first."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.odd, self.head = nn.Conv2d(1, 6, 3), nn.ReLU(), Odd(), nn.Linear(6 * 36, 3)

    def forward(self, x):
        return self.head(self.odd(self.act(self.conv(x))).flatten(1))


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x + self.shift


def fit(tmp_path, module, epochs, ckpt_path=None, data_seed=0, logger=False, **options):
    g = torch.Generator().manual_seed(data_seed)
    data = TensorDataset(torch.rand(32, 1, 8, 8, generator=g), torch.randint(0, 3, (32,), generator=g))
    lens = make_callback(probe_size=16, ranks=(1, 2), **{"verbose": False, "figures_every_n": 0, **options})
    keep = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=logger, callbacks=[lens, keep], enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, 16), DataLoader(data, 16), ckpt_path=ckpt_path)
    return lens, keep.last_model_path


def test_a_resumed_run_keeps_its_layers(tmp_path):
    first, last = fit(tmp_path, Net(), 1)
    assert first.state.layers == ["act", "odd"]
    state = torch.load(last, weights_only=True)
    state["state_dict"]["odd.shift"].fill_(-9.0)
    torch.save(state, last)
    second, _ = fit(tmp_path, Net(), 2, last)
    assert second.state.layers == first.state.layers
    other, _ = fit(tmp_path, Net(), 3, last, layers="conv")  # another choice of the user's is another choice
    assert other.state.layers == ["conv"]


def test_another_probe_is_noticed_and_starts_cold(tmp_path):
    _, last = fit(tmp_path, Net(), 1)
    with pytest.warns(UserWarning, match="the probe is not the one that the checkpoint was written with"):
        fit(tmp_path, Net(), 2, last, data_seed=1)


def test_cost_and_count_continue_after_a_resume(tmp_path, caplog):
    first, last = fit(tmp_path, Net(), 2)
    saved = torch.load(last, weights_only=True)["callbacks"][first.state_key]["budget"]
    assert saved["n_measured"] == 3
    assert 0 < saved["total_seconds"] <= saved["elapsed"]
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        second, _ = fit(tmp_path, Net(), 4, last, verbose=True)
    assert second.state.budget.n_measured == 5
    assert second.state.budget.total_seconds > saved["total_seconds"]
    assert second.state.budget.elapsed > saved["elapsed"]
    assert "FactorLens: 5 observations in" in caplog.text


def test_past_observations_are_restored_for_figures_over_epochs(tmp_path):
    def board(name):
        return TensorBoardLogger(tmp_path, name="", version=name)

    first, last = fit(tmp_path, Net(), 2, logger=board("a"), figures_every_n=2)
    second, _ = fit(tmp_path, Net(), 4, last, logger=board("b"), figures_every_n=2)
    assert [o.epoch for o in second.history] == [0, 1, 2, 3, 4]
    assert list(map(to_json, second.history[:3])) == list(map(to_json, first.history))
    events = EventAccumulator(str(tmp_path / "b"), size_guidance={"images": 0}).Reload()
    assert [e.step for e in events.Images("factorlens_figures/1_history")] == [
        7
    ]  # of the observations 0, 2, 4 the last
