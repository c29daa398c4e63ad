"""The reports name what there is, and only that."""

import re

from observations import MEASUREMENTS
from report_cells import cells

from lightning_factorlens.loggers.figure_schedule import numbered_figures, render_figures
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.loggers.text_reports import metric_guide, tag_table
from lightning_factorlens.measurements import Scalar


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
    guide = metric_guide(MEASUREMENTS, [extra], "student")
    assert "- `student/stop_score`: Score of the stopping rule. Unit: nats." in guide.splitlines()
    rows = cells(tag_table(MEASUREMENTS, [extra], "student"))
    assert ["`student/stop_score`", "Score of the stopping rule.", "nats", "", "", "", "summary"] in rows


def test_the_table_of_tags_is_whole():
    assert {len(row) for row in cells(tag_table(MEASUREMENTS))} == {7}


def test_the_guide_has_no_table_whose_columns_would_break_tags(observe):
    assert cells(metric_guide(MEASUREMENTS)) == []


def test_the_guide_has_no_figures_of_another_run():
    guide = metric_guide(MEASUREMENTS)
    assert "demo" not in guide.lower()
    assert "factorlens_best/epoch" in guide
