"""The summary of a run names its best and last observation, in words and in numbers, and only what there is."""

from dataclasses import replace

from observations import MEASUREMENTS
from report_cells import cells

from lightning_factorlens.loggers.best_of_run import BestOfRun, best_of_run
from lightning_factorlens.loggers.run_summary import findings_of, run_summary, summary_rows
from lightning_factorlens.measurements import RootMeanSquare
from lightning_factorlens.results.findings import UNKNOWN, StopAdvice
from lightning_factorlens.results.leading_scalar import position


def run(observe, values, **changes):
    return [observe(epoch, consistency=value, **changes) for epoch, value in enumerate(values)]


def signal_only(observe, epoch, value):
    """An observation of the consistency alone, as between two full ones."""
    observation = observe(epoch, consistency=value)
    records = {name: observation[name] for name in ("consistency", "cost")}
    partial = replace(observation, records=records, inputs=None, factorization=None)
    object.__setattr__(partial, "is_full", False)
    return partial


def test_the_summary_has_the_first_best_and_last_observation(observe):
    history = [observe(epoch, consistency=value) for epoch, value in ((0, 2.0), (1, 0.5), (7, 1.0))]
    summary = run_summary(history, MEASUREMENTS)
    assert "- When to stop? **not yet**: default rule on consistency found epoch 7 the best" in summary
    assert "Best: default rule on consistency." in summary  # the first epochs do not count
    header, _, steps, consistency, *rest = cells(summary)
    assert header == ["", "first, epoch 0", "best, epoch 7", "last, epoch 7"]  # short: long titles leave tags no room
    assert steps == ["step", "7", "707", "707"]
    assert consistency == ["`factorlens/consistency`", "2", "1", "1"]
    assert ["`factorlens/rank_at_12p5pct`", "> 32", "> 32", "> 32"] in rest
    assert ["`factorlens/rank_at_30pct`", "9.25", "9.25", "9.25"] in rest
    assert not any("seconds" in row[0] for row in rest)  # the cost of the run has a line of its own
    assert {len(row) for row in cells(summary)} == {4}


def test_the_summary_says_in_words_when_to_have_stopped(observe):
    values = [3.0, *[2.0 - 0.1 * k for k in range(10)], *[1.5] * 5]
    summary = run_summary(run(observe, values), MEASUREMENTS)
    assert (
        "- When to stop? **not yet**: default rule on consistency found epoch 10 the best, 5 epochs before the end, and "
        "has not decided to stop.\n"
    ) in summary
    assert "- Memorising? **likely, or over-confident**" in summary
    advice = StopAdvice("LabelFreeStopping", 9, None)
    assert "LabelFreeStopping found epoch 9 the best" in run_summary(run(observe, values), MEASUREMENTS, advice=advice)


def test_a_run_that_ended_at_its_best_or_has_no_consistency(observe):
    baseline = replace(observe(0, consistency=0.1), step=0)  # what is before training does not count
    history = [baseline, observe(1, consistency=1.0)]
    assert best_of_run(history, MEASUREMENTS, "lens") == BestOfRun(history[1], "default rule on consistency")
    assert "found epoch 1 the best, the last" in run_summary(history, MEASUREMENTS)
    history = [observe(0, consistency=None, alpha=None), observe(1, consistency=None)]
    summary = run_summary(history, MEASUREMENTS)
    assert ["`factorlens_spectra/mean_alpha`", "–", "3"] in cells(summary)
    assert best_of_run(history, MEASUREMENTS) is None
    assert "Best:" not in summary
    assert summary.count(f"**{UNKNOWN}**: consistency has not been measured since training began") == 3


def test_a_run_without_a_scalar_that_has_a_direction(observe):
    history = run(observe, [1.0, 0.5])
    assert {finding.verdict for finding in findings_of(history, [RootMeanSquare()]).all} == {"cannot tell", "not yet"}
    assert best_of_run(history, [RootMeanSquare()]) is None


def test_what_an_observation_lacks_is_of_the_last_full_one(observe):
    history = [observe(0, consistency=2.0), observe(11, consistency=1.5)]
    history += [signal_only(observe, 12, 1.0), signal_only(observe, 13, 1.6)]
    columns, rows = summary_rows(history, MEASUREMENTS)
    assert {name: position(observation) for name, observation in columns.items()} == {
        "first": "epoch 0 (step 7)",
        "best": "epoch 12 (step 1207)",
        "last": "epoch 13 (step 1307)",
    }
    assert rows["factorlens/consistency"] == ["2", "1", "1.6"]
    assert rows["factorlens/rank_at_30pct"] == ["9.25", "9.25 (epoch 11)", "9.25 (epoch 11)"]
    assert rows["factorlens/rank_at_12p5pct"] == ["> 32", "> 32 (epoch 11)", "> 32 (epoch 11)"]
    assert list(rows)[:2] == ["factorlens/consistency", "factorlens/rank_at_30pct"]


def test_the_summary_says_where_the_help_is(observe):
    assert "text `student_usage/how_to_read`" in run_summary(run(observe, [1.0, 0.5]), MEASUREMENTS, "student")
