"""Section: what the observations have cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lightning_factorlens.loggers.run_cost import seconds_by_activity
from lightning_factorlens.measurements import (
    ConceptQuality,
    NodeHealth,
    SemanticHierarchy,
    UnitPictures,
    default_measurements,
)
from lightning_factorlens.report.parts import Part, Table, Text
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Cost

RECORD = "cost"
#: The measurements whose names are phases of a cost.
KNOWN = (*default_measurements(), ConceptQuality(), SemanticHierarchy(), NodeHealth(), UnitPictures(("",)))
TOTAL = "total"


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    costs = [cost for observation in subject.history if isinstance(cost := observation.get(RECORD), Cost)]
    totals = [cost.seconds[TOTAL] for cost in costs if TOTAL in cost.seconds]
    if not totals:
        return []
    return [Text(_sentence(subject, costs, totals)), _table(costs, sum(totals))]


def _sentence(subject: Subject, costs: Sequence[Cost], totals: Sequence[float]) -> str:
    n_full = sum(observation.is_full for observation in subject.history)
    noun = "observation" if len(totals) == 1 else "observations"
    text = f"{len(totals)} {noun} took {sum(totals):.1f} s"
    text += f", the median one {median(totals):.2f} s." if len(totals) > 1 else "."
    if n_full < len(totals):
        text += f" {n_full} were made in full, the others measured the signal of the stop alone."
    shares = [cost.overhead for cost in costs if cost.overhead is not None]
    if shares:
        text += (
            f" Of the time between two observations they took {median(shares):.1%} (median), at most {max(shares):.1%}."
        )
    return text


def _table(costs: Sequence[Cost], total: float) -> Table:
    phases: dict[str, float] = {}
    for cost in costs:
        for phase, seconds in cost.seconds.items():
            if phase != TOTAL:
                phases[phase] = phases.get(phase, 0.0) + seconds
    rows = []
    for activity, seconds in seconds_by_activity(phases, total, KNOWN).items():
        rows.append((activity, f"{seconds:.2f}", f"{seconds / total:.0%}" if total else "–"))
    rows.append(("total", f"{total:.2f}", "100%"))
    return Table("Where the time went", ("activity", "seconds", "share"), rows)


COST = Section(
    "Cost",
    "cost",
    "The time that the measurements took. Figures and the writing of logs come after an observation and are counted "
    "only where the table names them; the summary at the end of a training counts both. The argument max_overhead "
    "bounds all of it: where it does not allow a full observation, the signal of the stop is measured alone.",
    "Every observation of this version records its cost.",
    _build,
)
