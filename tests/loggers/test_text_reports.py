"""The cards name what is there, and only that."""

import re

from lightning_factorlens.loggers.figure_schedule import render_figures
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.loggers.text_reports import best_observation, metric_guide, run_summary


def cells(card):
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in card.splitlines()
        if line.startswith("|")
    ]


def test_every_picture_and_every_summary_is_explained(observe):
    o, card = observe(1), metric_guide("student")
    for name in render_figures(o, [observe(0), o]):
        assert f"`{name}`" in card
    for tag in monitored_scalars(o, "student"):
        stem = re.sub(r"_at_\w+pct(_capped)?$", "_at_…pct", re.sub(r"rank_\d+$", "rank_r", tag))
        assert f"`{stem}`" in card or f"`{stem.removeprefix('student/')}`" in card, stem
    groups = {tag.split("/")[0] for tag in other_scalars(o, "student")}
    assert {"student_svd", "student_spectra", "student_similarity", "student_cost"} <= groups & set(
        re.findall(r"student_\w+", card)
    )
    assert "factorlens/" not in card


def test_tables_are_whole(observe):
    for card in (metric_guide(), run_summary([observe(0), observe(1)])):
        widths = {len(row) for row in cells(card)}
        assert widths <= {2, 3, 4}


def test_result_of_a_run(observe):
    history = [observe(epoch, consistency=value) for epoch, value in ((0, 2.0), (1, 0.5), (7, 1.0))]
    assert best_observation(history) is history[1]
    card = run_summary(history)
    assert "Consistency was lowest at epoch 1, 6 epochs before the end." in card
    header, _, consistency, *_ = cells(card)
    assert header == ["", "first, epoch 0", "lowest, epoch 1", "last, epoch 7"]
    assert consistency == ["`factorlens/consistency`", "2", "0.5", "1"]


def test_result_at_the_lowest_and_without_consistency(observe):
    assert "still at its lowest" in run_summary([observe(0, consistency=2.0), observe(1, consistency=1.0)])
    card = run_summary([observe(0, consistency=None, alpha=None)])
    assert ["`factorlens/mean_alpha`", "–", "–", "–"] in cells(card)
    assert "lowest at" not in card
