"""The figures of the concepts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.measurements.base import FigureSpec
from lightning_factorlens.plots.concept_card import concept_card_figure
from lightning_factorlens.plots.concept_sheet import concept_sheet_figure
from lightning_factorlens.plots.concept_timeline import concept_timeline_figure
from lightning_factorlens.plots.similarity import concept_similarity_figure
from lightning_factorlens.plots.style import when
from lightning_factorlens.results import ConceptChanges, ConceptPage, ConceptTimeline, Observation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name of the measurement and of its record.
NAME = "concept_quality"


def _page(history: Sequence[Observation]) -> ConceptPage | None:
    """The concepts of the last observation; None where they were not measured."""
    record = history[-1].get(NAME)
    page: ConceptPage | None = None if record is None else record.page
    return page


def _sheet(history: Sequence[Observation]) -> Figure | None:
    page = _page(history)
    return None if page is None else concept_sheet_figure(page, f"Concepts, {when(history[-1])}")


def _card(history: Sequence[Observation]) -> Figure | None:
    """The card of the clearest concept."""
    page = _page(history)
    return None if page is None else concept_card_figure(page, page.cards[0].number, when(history[-1]))


def _similarity(history: Sequence[Observation]) -> Figure | None:
    page = _page(history)
    return None if page is None else concept_similarity_figure(page, f"Concepts: shared neurons, {when(history[-1])}")


def _timeline(history: Sequence[Observation]) -> Figure | None:
    """What has become of the concepts since they were first found on this probe."""
    labels: list[str] = []
    alive: list[tuple[bool, ...]] = []
    changes: list[ConceptChanges] = []
    for observation in history:
        record = observation.get(NAME)
        if record is None:
            continue
        if labels and record.changes is not None:
            changes.append(record.changes)
        else:  # the first one, or another probe: what came before is of other samples
            labels, alive, changes = [], [], []
        labels.append(f"epoch {observation.epoch}")
        alive.append(record.alive)
    timeline = ConceptTimeline(tuple(labels), tuple(alive), tuple(changes))
    return concept_timeline_figure(timeline, "Concepts over the run")


#: The figures of `ConceptQuality`.
CONCEPT_FIGURES = (
    FigureSpec(
        "concepts",
        _sheet,
        "The ten clearest concepts: what they look like, the images that belong most to them, and whether the last "
        "record had them.",
        record=NAME,
    ),
    FigureSpec(
        "concept_card",
        _card,
        "The clearest concept in full: its pixels, its images and their neighbours, and its share of every layer.",
        record=NAME,
    ),
    FigureSpec(
        "concept_similarity",
        _similarity,
        "Which concepts use the same neurons, layer by layer.",
        record=NAME,
    ),
    FigureSpec(
        "concept_timeline",
        _timeline,
        "What has become of every concept over the run: which remain, and which are born, split, merged or lost.",
        needs_tensors=False,
    ),
)
