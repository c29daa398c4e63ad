"""The reports name what there is, and only that."""

import re
from dataclasses import replace

from observations import MEASUREMENTS

from lightning_factorlens.loggers.figure_schedule import numbered_figures, render_figures
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.loggers.text_reports import (
    best_criterion,
    best_observation,
    metric_guide,
    run_summary,
    tag_table,
)
from lightning_factorlens.measurements import Consistency, RootMeanSquare, Scalar


def cells(report):
    rows = []
    for line in report.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def test_every_figure_and_every_monitored_scalar_is_explained(observe):
    o, guide = observe(1), metric_guide(MEASUREMENTS, prefix="student")
    for name in render_figures(numbered_figures(MEASUREMENTS), [observe(0), o]):
        assert f"`{name}`" in guide
    for tag in monitored_scalars(o, MEASUREMENTS, "student"):
        stem = re.sub(r"rank_\d+$", "rank_r", tag)
        assert f"`{stem}`" in guide, stem
    groups = {tag.split("/")[0] for tag in other_scalars(o, MEASUREMENTS, "student")}
    assert {"student_svd", "student_spectra", "student_similarity", "student_cost"} <= groups & set(
        re.findall(r"student_\w+", guide)
    )
    assert "factorlens/" not in guide
    assert "{prefix}" not in guide


def test_every_other_scalar_is_explained_too(observe):
    explained = {row[0] for row in cells(tag_table(MEASUREMENTS))}
    for tag in other_scalars(observe(), MEASUREMENTS):
        known = [cell for cell in explained if _matches(cell.strip("`"), tag)]
        assert known, tag


def _matches(declared, tag):
    pattern = re.escape(declared).replace("<name>", r"[-/\w.]+").replace("rank_r", r"rank_\d+")
    return re.fullmatch(pattern, tag) is not None


def test_scalars_of_other_callbacks_are_explained():
    extra = Scalar("stop_score", "{prefix}/stop_score", "Score of the stopping rule.", unit="nats")
    rows = cells(metric_guide(MEASUREMENTS, [extra], "student"))
    assert ["`student/stop_score`", "Score of the stopping rule. Unit: nats.", ""] in rows
    rows = cells(tag_table(MEASUREMENTS, [extra], "student"))
    assert ["`student/stop_score`", "Score of the stopping rule.", "nats", "", "", "", "summary"] in rows


def test_tables_are_whole(observe):
    guide = metric_guide(MEASUREMENTS)
    assert {len(row) for row in cells(guide)} == {2, 3}
    assert {len(row) for row in cells(tag_table(MEASUREMENTS))} == {7}
    summary = run_summary([observe(0), observe(1)], MEASUREMENTS)
    assert {len(row) for row in cells(summary)} == {4}


def test_the_summary_of_a_run_has_its_first_best_and_last_observation(observe):
    history = [observe(epoch, consistency=value) for epoch, value in ((0, 2.0), (1, 0.5), (7, 1.0))]
    assert best_observation(history, MEASUREMENTS) is history[1]
    summary = run_summary(history, MEASUREMENTS)
    assert "`factorlens/consistency` was best at epoch 1, 6 epochs before the end." in summary
    header, _, consistency, *rest = cells(summary)
    assert header == ["", "first, epoch 0", "best, epoch 1", "last, epoch 7"]
    assert consistency == ["`factorlens/consistency`", "2", "0.5", "1"]
    assert ["`factorlens/rank_at_12p5pct`", "> 32", "> 32", "> 32"] in rest
    assert ["`factorlens/rank_at_30pct`", "9.25", "9.25", "9.25"] in rest


def test_the_summary_of_a_run_that_ended_at_its_best_or_has_no_consistency(observe):
    baseline = replace(observe(0, consistency=0.1), step=0)  # what is before training does not count
    history = [baseline, observe(1, consistency=1.0)]
    assert best_criterion(history, MEASUREMENTS, "lens") == "lowest lens/consistency"
    assert "still at its best" in run_summary(history, MEASUREMENTS)
    history = [observe(0, consistency=None, alpha=None), observe(1, consistency=None)]
    summary = run_summary(history, MEASUREMENTS)
    assert ["`factorlens_spectra/mean_alpha`", "–", "3"] in cells(summary)
    assert best_criterion(history, MEASUREMENTS) == ""
    assert "best at" not in summary
    assert "still" not in summary


def test_observations_without_a_finite_value_are_never_the_best(observe):
    history = [observe(epoch, consistency=value) for epoch, value in enumerate((float("nan"), None, 3.0, 2.0, 2.0))]
    assert best_observation(history, MEASUREMENTS) is history[3]
    assert best_observation(history[:2], [Consistency()]) is None
    assert best_observation(history, [RootMeanSquare()]) is None  # no scalar with a direction
