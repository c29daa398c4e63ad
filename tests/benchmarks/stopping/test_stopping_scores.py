"""The scoring of stopping rules: measures against their formulas, draws against closed forms, the default online."""

import json
import math
from statistics import mean

import numpy as np
import pytest

from benchmarks.reporting import Figure
from benchmarks.stopping import search
from benchmarks.stopping.candidates import baselines, default
from benchmarks.stopping.replay import (
    CAP,
    LEAST,
    RECORDS,
    Candidate,
    Signal,
    best_fixed,
    capped,
    capped_last,
    decide,
    load,
    named,
    outcome,
    standardised,
)
from benchmarks.stopping.report import Scores
from benchmarks.stopping.statistics import bootstrap_weights, interval
from benchmarks.stopping.tasks import CONFIRMATION, DEVELOPMENT
from lightning_factorlens.stopping import Patience, epoch_infos, replay

T = 20


def record(task="a", loss=None, accuracy=None, signal=None, **fields):
    """A run whose test loss is least after epoch 8, and a signal that turns there, too."""
    loss = [1 + abs(t - 8) / 10 for t in range(1, T + 1)] if loss is None else loss
    accuracy = [0.5 + t / 100 for t in range(1, T + 1)] if accuracy is None else accuracy
    signal = loss if signal is None else signal
    task = {"name": task, "dataset": "mnist", "schedule": "constant", "noise": 0.0, "healthy": False, "net": "cnn8",
            "epochs": len(loss), **fields}  # fmt: skip
    ones = [1.0] * len(loss)
    names = ("probe/rankme_features", "probe/changes", "probe/entropy", "weights/mean_alpha", "weights/alpha_hat",
             "weights/alpha_min", "labels/gradient_disparity", "labels/alignment", "images/label_wave",
             *(n.format(px=1) for n in default().signal.names))  # fmt: skip
    return {
        "record": f"{task['name']}-s0",
        "task": task,
        "hidden": {"test_loss": loss, "test_accuracy": accuracy},
        "validation": {"clean_loss": signal, "noisy_loss": signal},
        "training": {"learning_rate": ones},
        "signals": {
            "x": signal,
            "gaps": [None, *signal[1:]],
            "shift/1": [3.0] * len(loss),
            **dict.fromkeys(names, signal),
        },
    }


def x(rule):
    return Candidate("x", "probe", rule, Signal(("x",)))


def test_the_measures_are_the_protocols():
    r = record()
    loss, accuracy = r["hidden"]["test_loss"], r["hidden"]["test_accuracy"]
    o = outcome(x(Patience(5)), r)
    assert (o.chosen, o.stop, o.regret) == (8, 13, 0)
    assert o.points == pytest.approx(12)
    assert o.below_last == pytest.approx(12)
    assert o.saved == pytest.approx(7 / 20)
    assert o.premature
    assert o.last_regret == pytest.approx((loss[12] - min(loss)) / (mean(loss) - min(loss)))
    assert o.last_points == pytest.approx(7), "the weights at the stop, not the kept ones"
    last = outcome(Candidate("last", "nothing", "last"), r)
    assert last.regret == pytest.approx((loss[-1] - min(loss)) / (mean(loss) - min(loss)))
    assert (last.points, last.saved, last.premature) == (0, 0, False)
    chance = outcome(Candidate("random", "nothing", "random"), r)
    assert chance.regret == pytest.approx(1)
    assert chance.points == pytest.approx(100 * (max(accuracy) - mean(accuracy)))
    assert math.isnan(chance.chosen)
    for choice in (last, chance, outcome(Candidate("half", "hindsight", 0.5), r)):
        assert (choice.last_regret, choice.last_points) == (choice.regret, choice.points), (
            "they keep what they end with"
        )


def test_regrets_are_capped_for_means_and_flat_runs_do_not_explode():
    flat = record(loss=[1.0] * 19 + [1.0001])
    assert outcome(Candidate("last", "nothing", "last"), flat).regret == pytest.approx(0.0001 / LEAST)
    spike = record(loss=[50.0] + [1.0] * 19, signal=[0.0] + [1.0] * 19)
    o = outcome(x(Patience(3)), spike)
    assert o.chosen == 1
    assert o.regret == pytest.approx(20)
    assert capped([o]) == [CAP]
    late = outcome(x(Patience(3)), record(loss=[1.0] * 3 + [50.0] + [1.0] * 16, signal=[0.0] + [1.0] * 19))
    assert (late.regret, capped_last([late])) == (0, [CAP])


@pytest.mark.parametrize(("lost", "premature"), [(0.009, False), (0.011, True)])
def test_a_stop_is_premature_beyond_one_point_of_what_the_end_would_have_given(lost, premature):
    accuracy = [0.8 - lost] * 17 + [0.79, 0.80, 0.81]
    assert outcome(x(Patience(5)), record(accuracy=accuracy)).premature == premature
    assert not outcome(x(Patience(50)), record(accuracy=accuracy)).premature, "nothing stopped"


def test_the_stop_is_the_first_one_and_what_is_kept_is_what_was_best_then():
    falls_later = [5.0, 4, 3, 4, 5, 6, 7, 1, 0, 0, 0, 0]
    r = record(loss=falls_later)
    assert decide(x(Patience(3)), r) == ([3], 6)
    assert decide(x(Patience(9)), r) == ([9], 12)
    assert decide(x(Patience(3)), record(signal=[math.nan] * T)) == ([T], T)


def test_signals_by_name_gaps_means_and_moving_averages():
    r = record(signal=[float(t) for t in range(T)])
    assert named(r, "shift/{px}")[0] == 3
    assert math.isnan(named(r, "gaps")[0])
    assert Signal(("x", "shift/{px}")).of(r)[4] == 3.5
    moving = Signal(("x",), over=3).of(r)
    assert math.isnan(moving[1])
    assert moving[2:5] == [1, 2, 3]
    assert named(r, "validation/clean_loss")[5] == 5


def test_a_consensus_sees_only_the_past_and_no_units():
    rng = np.random.default_rng(0)
    series = rng.normal(size=12).tolist()
    whole = standardised(series)
    for cut in range(1, 13):
        assert standardised(series[:cut]) == whole[:cut]
    assert standardised([7 * v - 3 for v in series]) == pytest.approx(whole)
    seen = np.array(series[:7])
    assert whole[6] == pytest.approx((seen[-1] - seen.mean()) / seen.std())


def test_the_best_fixed_epoch_is_the_best_of_all_shares():
    records = [record(), record("b", loss=[1 + abs(t - 10) / 10 for t in range(1, T + 1)])]
    best = mean(capped([outcome(best_fixed(records), r) for r in records]))
    for epoch in range(1, T + 1):
        assert best <= mean(capped([outcome(Candidate("", "", epoch / T), r) for r in records])) + 1e-12


def test_tasks_are_drawn_first_and_then_their_records():
    tasks = ["a", "a", "a", "b", "c", "c"]
    weights = bootstrap_weights(tasks, draws=20_000)
    of_task = [weights[:, [t == name for t in tasks]].sum(1) / size for name, size in (("a", 3), ("b", 1), ("c", 2))]
    assert all((task % 1 == 0).all() for task in of_task)
    assert (sum(of_task) == 3).all()
    assert np.mean(of_task[0] == 0) == pytest.approx((2 / 3) ** 3, abs=0.02)
    assert weights.mean(0) == pytest.approx(np.ones(6), abs=0.03)
    once = weights[of_task[0] == 1][:, 0]
    assert np.mean(once == 0) == pytest.approx((2 / 3) ** 3, abs=0.02)


def test_intervals():
    values = np.random.default_rng(1).normal(size=200)
    low, high = interval(values, bootstrap_weights([str(i) for i in range(200)]))
    error = 1.96 * values.std() / math.sqrt(200)
    assert (values.mean() - low, high - values.mean()) == pytest.approx((error, error), rel=0.1)
    alike = np.repeat(values[:20], 10)
    low, high = interval(alike, bootstrap_weights([str(i // 10) for i in range(200)]))
    error = 1.96 * values[:20].std() / math.sqrt(20)
    assert (high - low) == pytest.approx(2 * error, rel=0.15), "seeds that are alike count once"
    assert interval([2.5] * 4, bootstrap_weights(["a", "a", "b", "c"])) == (2.5, 2.5)


def test_leaving_tasks_out_never_looks_at_the_task_itself():
    records = [record("a"), record("a"), record("b")]
    early, late = x(Patience(2)), Candidate("last", "nothing", "last")
    scored = [[outcome(c, r) for r in records] for c in (early, late)]
    flattered = [list(row) for row in scored]
    flattered[1][0] = flattered[1][1] = flattered[0][2]  # the last epoch is perfect on task a alone
    found = search.leave_tasks_out(flattered, ["a", "a", "b"])
    assert found[:2] == flattered[0][:2], "chosen on b, where the first is better"
    assert found[2] in (flattered[0][2], flattered[1][2])


def test_every_baseline_of_the_protocol_is_scored_and_the_tables_hold_together():
    records = [
        record("a", noise=0.4, signal=[abs(t - 10.0) for t in range(T)]),
        record("b", healthy=True, loss=[2 - t / 20 for t in range(T)]),
        record("c", schedule="cosine", dataset="cifar10"),
    ]  # fmt: skip
    for r in records:
        r["signals"].update({n.format(px=p): r["signals"]["x"] for n in default().signal.names for p in (1, 2)})
    found = Scores([default(), *baselines(), best_fixed(records)], records)
    text = found.main_table() + found.paired_table() + found.breakdown_table() + found.record_table(["last epoch"])
    for words in ("clean validation", "noisy validation", "patience 10", "last epoch", "best fixed epoch", "random epoch",
                  "effective rank", "Label Wave", "prediction changes", "entropy", "α̂", "gradient disparity",
                  "gradient–weight alignment"):  # fmt: skip
        assert words in text
    figures = {f.name.removeprefix("p_"): f for f in found.figures("p")}
    assert len(figures) == 5
    assert all(isinstance(f, Figure) for f in figures.values())
    assert figures["healthy_runs_not_stopped_early"].value == 1
    ours, clean = found.rows[0].regrets, found["clean validation split, patience 5"].regrets
    assert figures["regret_over_clean_validation"].value == pytest.approx(mean(ours) / mean(clean))
    free = [
        mean(r.regrets)
        for r in found.rows[1:]
        if r.candidate.needs in ("probe", "weights", "training images", "nothing")
    ]
    assert len(free) == 10
    assert figures["regret_over_best_label_free_baseline"].value == pytest.approx(mean(ours) / min(free))
    assert json.loads(json.dumps(found.payload()))["records"] == ["a-s0", "b-s0", "c-s0"]


def test_only_the_part_that_is_asked_for_is_opened(tmp_path):
    for task in (DEVELOPMENT[0], CONFIRMATION[0]):
        (tmp_path / f"{task.name}-s{task.seeds[0]}.json.gz").write_bytes(b"not to be opened")
    with pytest.raises(OSError, match="gzip"):
        load(tmp_path, "dev")
    (tmp_path / f"{DEVELOPMENT[0].name}-s0.json.gz").unlink()
    assert load(tmp_path, "dev") == []


def test_the_default_is_online_on_a_real_record():
    records = load(RECORDS, "dev")
    assert records, "the derived records belong to the repository"
    for real in records[:6]:
        series = default().signal.of(real)
        assert all(map(math.isfinite, series))
        infos = epoch_infos(len(series), real["training"]["learning_rate"])
        whole = replay(default().rule, series, infos)
        for cut in range(len(series)):
            assert replay(default().rule, series[:cut], infos[:cut]) == whole[:cut]
        state = default().rule.start()
        for value, info, decision in zip(series, infos, whole):
            state, again = default().rule.step(json.loads(json.dumps(state)), value, info)
            assert again == decision
        kept, stop = decide(default(), real)
        assert kept == [whole[stop - 1].best_epoch]
        held = [v.best_epoch for v in whole]
        assert all(b in (info.epoch, before) for before, b, info in zip([None, *held], held, infos)), "one checkpoint"
