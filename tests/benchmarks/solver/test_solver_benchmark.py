"""The solver's benchmarks on tiny problems: what they measure is what they say, and their reports come out whole."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.reporting import ROOT
from benchmarks.solver import best_errors, feature_budget, feature_budget_report, goals, memory, report
from benchmarks.solver import memory_peak as peak
from benchmarks.solver.cost import iteration_cost
from benchmarks.solver.jitter import jitter
from benchmarks.solver.measure import Peer, measure
from benchmarks.solver.networks import DATA
from benchmarks.solver.problems import RANKS, Problem, planted
from benchmarks.solver.runs import OURS, cold, warm
from benchmarks.solver.stopwatch import squared_error
from lightning_factorlens.config import LensOptions
from lightning_factorlens.results import Block

MIB = 2**20
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc: memory cannot be read")


@pytest.fixture(scope="module")
def problem():
    return planted(600, 64)


@pytest.fixture
def best(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(best_errors, "CACHE", tmp_path)
    return best_errors.reference(problem, quick=True)


def test_default_paths_lie_in_the_repository():
    assert DATA.is_relative_to(ROOT) and (ROOT / "pyproject.toml").exists()


@pytest.fixture(scope="module")
def shaky():
    return jitter([planted(300, 40, seed=s) for s in range(4)])


@pytest.mark.slow
@pytest.mark.slow
def test_a_solver_run_from_problem_to_report(problem, best, shaky):
    found = cold(problem, best, seeds=2, quick=True, only=[""], prototype=None)
    solvers = found["solvers"]
    assert {n for n in solvers if n.startswith("scikit-learn")} == {
        "scikit-learn cd nndsvd",
        "scikit-learn cd nndsvdar",
    }
    for name, row in solvers.items():
        assert row["of"] == len(row["runs"]) and not row["error"], name
        assert all(run["hit"] == (max(run["gaps"].values()) <= 0.01) for run in row["runs"])
    again = warm(problem, problem, best, seeds=1)
    payload = {
        "machine": {"versions": {}, "date": "2000-01-01", "processor": "one"},
        "quick": True,
        "problems": {"synth": {"m": problem.m, "N": problem.N, "source": problem.source}},
        "cold": {"synth": found},
        "warm": {"synth": again},
        "passes": {"synth": iteration_cost(problem, 1)},
        "jitter": shaky,
    }
    figures = goals.judge(payload)
    assert {"jitter_percent", "drift_percent"} <= {f.name for f in figures}
    text = report.report(payload, figures)
    assert OURS in text and "| jitter |" in text and "| drift |" in text


def test_jitter_is_the_scatter_of_steps_and_drift_that_of_the_excess(shaky):
    excess = np.array(shaky["rmse"]) / np.array(shaky["best"]) - 1
    for k, r in enumerate(RANKS):
        steps = [excess[t + 1, k] - excess[t, k] for t in range(3)]
        mean = sum(steps) / 3
        assert shaky["jitter"][r] == pytest.approx(math.sqrt(sum((s - mean) ** 2 for s in steps) / 3 / 2), abs=1e-12)
        assert shaky["drift"][r] == pytest.approx(excess[:, k].std(ddof=1), abs=1e-12)


def test_the_stopwatch_ends_a_peer_at_the_target_and_evaluates_like_float64(problem):
    g = torch.Generator().manual_seed(0)
    steps = [(torch.rand(600, 3, generator=g), torch.rand(3, 64, generator=g)) for _ in range(5)]
    exact = [float((torch.from_numpy(problem.X).double() - w.double() @ f.double()).square().sum()) for w, f in steps]
    for (w, f), sse in zip(steps, exact):
        assert squared_error(problem, w, f, torch.from_numpy(problem.X)) == pytest.approx(sse, rel=1e-5)
    target = sorted(exact)[2]

    def run(_problem, _rank, _seed, monitor):
        for w, f in steps:
            monitor(w, f)

    found = measure(Peer("one", "none", run), problem, {3: target / 1.01}, 0.01 + 1e-4, 0, 60.0)
    first = next(i for i, sse in enumerate(exact) if sse <= target)
    assert found.hit and found.laps[3] == first + 1
    assert found.gaps[3] == pytest.approx(1.01 * exact[first] / target - 1, abs=1e-4)
    broken = measure(Peer("two", "none", lambda *_: 1 / 0), problem, {3: target}, 0.01, 0, 60.0)
    assert not broken.hit and broken.error.startswith("ZeroDivisionError")


@needs_proc
@pytest.mark.parametrize("may_reset", [True, False])
def test_growth_is_that_of_the_peak(may_reset, monkeypatch):
    if not may_reset:
        monkeypatch.setattr(peak, "_reset", lambda: False)
    torch.ones(24 * MIB)  # an earlier, higher peak, which must not hide the next
    kept, grown = peak.growth(lambda: torch.ones(8 * MIB))
    assert grown == pytest.approx(32 * MIB, abs=2 * MIB) and kept.numel() == 8 * MIB

    def passing() -> None:
        torch.ones(16 * MIB)

    assert peak.growth(passing)[1] == pytest.approx(64 * MIB, abs=2 * MIB)


@pytest.mark.slow
@needs_proc
def test_memory_of_a_fit_from_blocks_to_report():
    blocks = [b.samples for b in planted(40_000, 64).blocks]
    row = memory.peaks(blocks, repeats=1)
    assert row["blocks"] == 40_000 * 64 * 4 and row["factors"] == 63 * (40_000 + 64) * 4
    assert row["factors"] < row["cold"][0] < 10 * row["blocks"]
    assert row["warm_over_blocks"] == row["warm"][0] / row["blocks"] > 0
    payload = {"machine": {"date": "2000-01-01"}, "problems": {"tiny": {"source": "planted", **row}}}
    figures = memory.judge(payload)
    assert [f.name for f in figures] == ["memory_cold_tiny", "memory_warm_tiny"]
    assert "tiny, 40,000 × 64" in memory.report(payload, figures)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Flatten()).eval()


@pytest.fixture
def few_ranks(monkeypatch):
    monkeypatch.setattr(feature_budget, "OPTIONS", LensOptions(ranks=(1, 4)))


def test_feature_budget_from_net_to_report(net, few_ranks):
    images = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    found = feature_budget.study(net, images, [64, 4096], draws=3)
    neurons = {"input/0": 144, "1": 1200, "3": 768}
    assert found["all"]["neurons"] == found["budgets"][4096]["kept"] == neurons
    assert found["budgets"][64]["kept"] == dict.fromkeys(neurons, 64)
    for key in ("bias", "spread"):  # a budget that keeps everything changes nothing
        exact, few = found["budgets"][4096][key], found["budgets"][64][key]
        numbers = [v for part in exact.values() for name in ("rmse", "rel_error", "rms") for v in part[name]]
        assert np.abs(numbers).max() < 1e-6
        assert abs(few["total"]["rmse"][0]) > 1e-4
    payload = {**found, "machine": {"date": "2000-01-01"}, "source": "a net"}
    payload["training"] = feature_budget.compared([found["all"]], found["all"])["bias"]
    figures = feature_budget_report.judge(payload)
    assert len(figures) == 6 and figures[0].name == "budget4096_bias_percent" and figures[0].reached
    text = feature_budget_report.report(payload, figures)
    assert "| 64 | rmse |" in text and "| input/0, 144 | effective rank |" in text and "all kept" in text


def test_the_energy_of_drawn_neurons_is_unbiased(net, few_ranks):
    images = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    exact = feature_budget.measure(net, images)["numbers"]
    draws = [feature_budget.measure(net, images, 64, seed)["numbers"] for seed in range(24)]
    for part in ("total", "1", "3"):
        ratio = np.array([d[part]["rms"][0] ** 2 for d in draws]) / exact[part]["rms"][0] ** 2
        assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / math.sqrt(len(draws))


def test_compared_is_mean_and_deviation_over_truth():
    def seen(a: float, b: float) -> dict:
        return {"numbers": {"total": {"rmse": [a], "rank_at": [b]}}}

    found = feature_budget.compared([seen(1.1, 2), seen(0.9, math.nan), seen(1.3, 2)], seen(1.0, 2))
    assert found["bias"]["total"]["rmse"] == pytest.approx([0.1])
    assert found["spread"]["total"]["rmse"] == pytest.approx([0.2])
    assert math.isnan(found["bias"]["total"]["rank_at"][0]), "not reached in one draw"


def test_blocks_of_a_problem_stack_to_its_matrix():
    x = torch.rand(5, 3), torch.rand(5, 4)
    p = Problem("made-up", "", tuple(Block(str(i), "activation", b, (b.shape[1],)) for i, b in enumerate(x)))
    assert p.X.shape == (7, 5) and np.array_equal(p.X[3:], x[1].T.numpy())
    assert p.energy == pytest.approx(float((p.X.astype(float) ** 2).sum()))
