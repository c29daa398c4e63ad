"""Section: error against rank."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.plots import rank_curve_figure
from lightning_factorlens.report.parts import Part, Table
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Observation, RankCurves
from lightning_factorlens.results._text import format_number

RECORD = "reconstruction_error"


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    history = subject.until(RECORD)
    figure = rank_curve_figure(history) if history else None
    if figure is None:
        return []
    last = history[-1]
    alt = f"Chart of the relative error against the rank at epoch {last.epoch}; the table below has its numbers."
    return [figure_picture(figure, alt), _table(last)]


def _table(observation: Observation) -> Table:
    curves: RankCurves = observation[RECORD]
    curve = curves["total"]
    svd = observation.get("svd_error")
    svd_errors = {} if svd is None else dict(zip(svd["total"].ranks, svd["total"].rel_error))
    rows = []
    for rank, error, rmse in zip(curve.ranks, curve.rel_error, curve.rmse):
        rows.append((str(rank), format_number(error), format_number(svd_errors.get(rank)), format_number(rmse)))
    header = ("rank", "relative error", "of the truncated SVD", "root mean square error")
    return Table(f"Errors at epoch {observation.epoch}", header, rows)


RANK_CURVES = Section(
    "Rank curves",
    "rank-curves",
    "Inputs and activations of all layers are written together as a sum of r non-negative components. The error that "
    "remains at rank r says how many components describe inputs and activations: a network that tells inputs "
    "apart more finely needs more. No factorisation passes below the truncated SVD, which may be negative.",
    "Rank curves are recorded by the measurement ReconstructionError, which is among the default measurements.",
    _build,
)
