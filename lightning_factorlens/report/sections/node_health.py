"""Section: units that are dead, rarely active or active in single pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lightning_factorlens.plots.flagged_units import flagged_units_figure
from lightning_factorlens.report.parts import Part, Table
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Observation
from lightning_factorlens.results.leading_scalar import is_untrained

RECORD = "node_health"
TOTAL = "total"


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    last = subject.latest(RECORD)
    if last is None:
        return []
    shares: Mapping[str, float] = last[RECORD].by_scope
    untrained = _untrained(subject.history[0], last)
    layers = {name: share for name, share in shares.items() if name != TOTAL}
    parts: list[Part] = []
    if layers:
        alt = f"Bars of the share of flagged units by layer at epoch {last.epoch}; the table has the numbers."
        parts.append(figure_picture(flagged_units_figure(layers, untrained), alt))
    rows = []
    for name, share in shares.items():
        before = untrained.get(name, math.nan)
        rows.append((_label(name), f"{share:.1%}", "–" if math.isnan(before) else f"{before:.1%}"))
    parts.append(Table(f"Share of flagged units at epoch {last.epoch}", ("layer", "now", "before training"), rows))
    return parts


def _untrained(first: Observation, last: Observation) -> Mapping[str, float]:
    """The shares before training; empty where they are not known."""
    if first is last or not is_untrained(first) or RECORD not in first:
        return {}
    shares: Mapping[str, float] = first[RECORD].by_scope
    return shares


def _label(name: str) -> str:
    return "all layers" if name == TOTAL else name or "(the model)"


NODE_HEALTH = Section(
    "Node health",
    "node-health",
    "Units that are active in no image of the probe, in fewer than a test allows, or in single pixels only, at a false "
    "discovery rate of 5 % in each layer. Untrained networks have such units too: what was there before training is no "
    "trace of it. The tests do not find memorisation.",
    "Add the measurement NodeHealth() to the callback or the lens; a probe of 256 images decides layers of up to about "
    "100 units.",
    _build,
)
