"""The papers' observations, measured again: statistics against scipy, conclusions on known answers, a tiny run of all."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import reporting
from benchmarks.papers import __main__ as command
from benchmarks.papers import conclusions, epochs, epochs_controls, groups, networks, sorted_loader, statistics, train
from benchmarks.papers.curves import DEFINITIONS, area
from benchmarks.papers.settings import BATCH, Settings
from benchmarks.stopping.networks import build
from tests.benchmarks.stopping.test_stopping_records import digits

__all__ = ["digits"]  # a fixture: MNIST's files with images of ours

TINY = Settings(
    seeds=2, steps=4, probe=32, ranks=(1, 2), features=16, records=3,
    control_seeds=1, control_epochs=3, sorted_seeds=2, sorted_images=128, sorted_epochs=1,
)  # fmt: skip
SEEDS = [s for s in range(5) for _ in range(4)]
LEVELS = [1.0, 2.0, 5.0, 10.0] * 5


def test_ordering_is_somers_d_and_its_draws_are_resamples():
    values = np.array(LEVELS) + np.random.default_rng(0).normal(0, 4, 20)
    values[3] = values[7]  # ties in the values, too
    weights = statistics.seed_weights(SEEDS)
    found = statistics.ordering(LEVELS, values, weights)
    assert found.value == pytest.approx(stats.somersd(LEVELS, values).statistic)
    literal = []
    for row in weights[:200]:
        drawn = np.repeat(np.arange(20), row.astype(int))
        literal.append(stats.somersd(np.array(LEVELS)[drawn], values[drawn]).statistic)
    few = statistics.ordering(LEVELS, values, weights[:200])
    assert (few.low, few.high) == pytest.approx(tuple(np.quantile(literal, [0.025, 0.975])))
    assert found.low < found.value < found.high


def test_what_shares_a_seed_is_drawn_together():
    weights = statistics.seed_weights(SEEDS).reshape(-1, 5, 4)
    assert (weights == weights[:, :, :1]).all()
    assert (weights.sum((1, 2)) == 20).all()
    assert weights.mean(0) == pytest.approx(np.ones((5, 4)), abs=0.05)


def test_means_and_their_intervals_against_scipy():
    values = np.random.default_rng(1).normal(3, 1, 30)
    found = statistics.mean(values, statistics.seed_weights(range(30)))
    expected = stats.bootstrap((values,), np.mean, method="percentile", random_state=0).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)
    gap = statistics.mean([*values, None], statistics.seed_weights(range(31)))
    assert gap.value == pytest.approx(values.mean())
    assert math.isnan(statistics.mean([None, None], statistics.seed_weights([0, 1])).value)


def test_correlations_of_series_with_gaps():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=40), rng.normal(size=40)
    assert statistics.spearman(a, a + b) == pytest.approx(stats.spearmanr(a, a + b).statistic)
    assert statistics.spearman([None, 1.0, 2.0, 3.0], [5.0, 3.0, 2.0, 1.0]) == pytest.approx(-1)
    assert math.isnan(statistics.spearman([1.0] * 5, a[:5]))
    assert statistics.differences([1.0, None, 4.0, 6.0]) == pytest.approx([math.nan, math.nan, 2], nan_ok=True)


def test_sign_test_is_the_binomial_of_what_is_not_zero():
    assert statistics.sign_test([-1.0] * 8) == (8, 8, pytest.approx(2 / 256))
    assert statistics.sign_test([-1.0, -1.0, 1.0, 0.0]) == (2, 3, pytest.approx(1))
    assert statistics.sign_test([0.0]) == (0, 0, 1.0)


def test_area_is_the_mean_over_log_rank():
    assert area([1, 2, 4, 8], [0.8, 0.6, 0.4, 0.2]) == pytest.approx(0.5)
    assert area([1, 4, 8], [0.8, 0.4, 0.2]) == pytest.approx(0.5)


def nets(areas, controls):
    """Networks of four groups whose areas and accuracies are given, and both controls."""
    rng, found = np.random.default_rng(3), []
    for seed in range(5):
        for k, mean in enumerate([*areas, controls, controls]):
            group, level = (f"{LEVELS[k]:g} classes", LEVELS[k]) if k < 4 else (list(networks.CONTROLS)[k - 4], None)
            value = mean + rng.normal(0, 0.001)
            found.append({
                "group": group, "level": level, "seed": seed, "accuracy": 0.1 + (0.2 * k if k < 4 else 0) + 0.001 * seed,
                "area": dict.fromkeys(DEFINITIONS, value), "rank_at": {"0.3": [value, False]}, "effective_rank": value,
                "rms": 1.0,
            })  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("areas", "controls", "order", "quality"),
    [
        ([0.3, 0.4, 0.5, 0.6], 0.2, "**held**", "**held**"),
        ([0.3, 0.4, 0.5, 0.6], 0.7, "**held**", "**did not hold**"),
        ([0.6, 0.5, 0.4, 0.3], 0.2, "**did not hold** under any definition of the error; reversed", "**did not hold**"),
        ([0.3, 0.5, 0.4, 0.6], 0.2, "**did not hold**", "**held**"),  # τ > 0, but the groups' means do not rise
    ],
)
def test_the_order_of_groups_is_the_one_that_was_planted(areas, controls, order, quality):
    summary = groups.summary(nets(areas, controls))
    row = summary["unit-norm relative error"]
    inversions = sum(a > b for i, a in enumerate(areas) for b in areas[i + 1 :])
    assert row["order"].value == pytest.approx(1 - 2 * inversions / 6)
    assert row["means"] == [f"{LEVELS[k]:g} classes" for k in np.argsort(areas)]
    said = conclusions.groups(summary)
    assert said[0].startswith(order)
    assert said[1].startswith(quality)


def test_a_verdict_that_depends_names_both_sides():
    said = conclusions.combined({"a": True, "b": False, "c": False}, "the error")
    assert said == "**depends on the error**: holds for a; not for b and c"


def record(task, noise, loss, error):
    names = [f"factors/{kind}/{scope}/{rank}" for kind in ("rmse", "rel_error") for scope in ("total", "activations")
             for rank in epochs.RANKS]  # fmt: skip
    signals = {**dict.fromkeys((*names, "factors/rms/total"), error), "weights/mean_alpha": [None, *error[1:]]}
    described = {"name": task, "noise": noise}
    return {"record": f"{task}-s0", "task": described, "hidden": {"test_loss": loss}, "signals": signals}


def control_runs(trained, untrained, walk, loss):
    series = {
        n: dict.fromkeys(epochs_controls.SIGNALS, s) for n, s in zip(epochs_controls.NETS, (trained, untrained, walk))
    }
    return [
        {"labels": k, "seed": s, "test_loss": loss, "series": series} for k in epochs_controls.RUNS for s in range(3)
    ]


def test_an_error_that_is_the_loss_follows_it_and_a_clock_does_not():
    t = np.arange(20.0)
    loss, noise = list((t - 8) ** 2 + 1), list(np.random.default_rng(4).normal(size=20))
    same = [epochs._measure(record(f"t{k}", 0.4 * (k % 2), loss, loss)) for k in range(6)]
    summary = epochs.summary(same)
    assert summary["clean"]["records"] == summary["noisy"]["records"] == 3
    assert summary["all"]["RMSE"]["levels"] == pytest.approx((1, 1, 1))
    assert summary["all"]["mean α"]["changes"] == pytest.approx((1, 1, 1))
    controls = epochs_controls.summary(control_runs(loss, noise, noise, loss))
    assert conclusions.epochs(summary, controls, "RMSE").startswith("**held**")
    alike = epochs_controls.summary(control_runs(loss, list(3 * np.array(loss)), noise, loss))
    assert alike["clean"]["RMSE"]["untrained"]["with_trained"].value == pytest.approx(1)
    assert alike["clean"]["RMSE"]["untrained"]["margin"].value == pytest.approx(0)
    assert conclusions.falls_short(summary, alike, "RMSE") == [
        "the control “untrained” does as well (clean and noisy labels)"
    ]
    clock = epochs.summary([epochs._measure(record(f"t{k}", 0.4 * (k % 2), loss, list(t))) for k in range(6)])
    assert clock["all"]["RMSE"]["epoch"].value == pytest.approx(1)
    failed = conclusions.falls_short(clock, controls, "RMSE")
    assert "the levels are weakly correlated" in failed and "the changes do not move together" in failed
    turned = [*same[::2], *(epochs._measure(record(f"t{k}", 0.4, loss, list(-np.array(loss)))) for k in range(3))]
    assert conclusions.falls_short(epochs.summary(turned), controls, "RMSE")[0] == "the direction depends on the labels"


def test_controls_know_norms_and_steps_and_nothing_else():
    model, other = build("cnn8", (1, 28, 28), 0.0, 0), build("cnn8", (1, 28, 28), 0.0, 1)
    directions = [torch.nn.functional.normalize(p.detach().flatten(), dim=0) for p in other.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3.0)
    epochs_controls.scaled_like(other, model)
    for p, q, d in zip(other.parameters(), model.parameters(), directions):
        assert p.norm().item() == pytest.approx(q.norm().item(), rel=1e-5)
        assert torch.allclose(p.flatten() / p.norm(), d, atol=1e-6)
    walker = copy.deepcopy(model)
    steps = [torch.full_like(p, 0.01) for p in model.parameters()]
    epochs_controls.walk(walker, steps, torch.Generator().manual_seed(0))
    for p, q, step in zip(walker.parameters(), model.parameters(), steps):
        moved = p - q
        assert moved.norm().item() == pytest.approx(step.norm().item(), rel=1e-3)
        if moved.numel() > 100:
            assert abs(torch.cosine_similarity(moved.flatten(), step.flatten(), 0).item()) < 0.5


def test_batches():
    labels = torch.randint(0, 10, (150,), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for loader in sorted_loader.LOADERS:
        order = sorted_loader.batches(labels, loader, generator)
        assert [len(b) for b in order] == [BATCH, BATCH, 150 - 2 * BATCH]
        assert sorted(torch.cat(order).tolist()) == list(range(150))
        assert bool((labels[torch.cat(order)].diff() >= 0).all()) == (loader == "sorted")
    few = list(train.random_batches(60, 7, generator))
    assert len(few) == 7 and all(sorted(b.tolist()) == list(range(60)) for b in few)
    assert not torch.equal(few[0], few[1])
    assert len(list(train.random_batches(1000, 3, generator))) == 3


@pytest.mark.parametrize(("lift", "said"), [(-0.1, "**held**"), (0.1, "**did not hold**"), (0.0, "**did not hold**")])
def test_sorted_against_shuffled_on_planted_pairs(lift, said):
    rng, found = np.random.default_rng(5), []
    for seed in range(8):
        for loader in sorted_loader.LOADERS:
            value = 0.5 + rng.normal(0, 0.005) + (lift if loader == "sorted" else 0)
            found.append({"seed": seed, "loader": loader, "accuracies": [0.2, 0.5], "rms": 1.0,
                          "area": dict.fromkeys(DEFINITIONS, value), "rank_at": {"0.3": [value, False]},
                          "effective_rank": value})  # fmt: skip
    summary = sorted_loader.summary(found)
    row = summary["raw RMSE"]
    assert row["difference"].value == pytest.approx(lift, abs=0.01)
    assert row["difference"].value == pytest.approx(row["sorted"].value - row["shuffled"].value)
    conclusion = conclusions.sorted_loader(summary)
    assert conclusion.startswith(said)
    assert ("higher for" in conclusion) == (lift > 0)


def test_training_sets_are_what_they_say(digits):
    data = train.digits(digits, 32)
    found = networks.Networks(data, TINY)
    one = found.net(networks.TrainingSet(classes=1), 0)
    assert found.net(networks.TrainingSet(classes=1), 0) is one, "made once"
    again = networks.Networks(data, TINY).net(networks.TrainingSet(classes=1), 0)
    assert again == one, "the seed decides everything"
    assert found.net(networks.CONTROLS["untrained"], 0)["train_accuracy"] is None
    for curve in one["curves"].values():
        assert all(a >= b - 1e-6 for a, b in zip(curve, curve[1:])), "more components, no larger error"


@pytest.mark.slow
def test_the_command_keeps_what_it_does_not_run(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "FULL", TINY)
    monkeypatch.setattr(command, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(reporting, "BENCHMARKS", tmp_path)
    readme = tmp_path / "papers" / "README.md"
    here = ["--data-dir", str(digits), "--only"]
    command.main([*here, "sorted", "subsets"])
    first = readme.read_text()
    assert "### Batches sorted by class" in first and "Fig. 2b" in first and "Fig. 2a" not in first
    command.main([*here, "epochs"])
    both = readme.read_text()
    assert "Fig. 2b" in both and "Fig. 2c" in both
    assert first[first.index("### Batches sorted") :] == both[both.index("### Batches sorted") :]
    command.main(here)
    assert readme.read_text() == both
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        "images.png",
        "epochs.png",
        "sorted.png",
    }
    assert "figure papers_seeds 1 goal >=5 short" in capsys.readouterr().out
    assert "nan" not in both
