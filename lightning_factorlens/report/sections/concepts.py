"""Section: concepts, as far as they were recorded with their images, and their numbers in any case."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.measurements import ConceptQuality
from lightning_factorlens.report.class_words import named_page, two_digits
from lightning_factorlens.report.concept_cards import card_group, concept_name
from lightning_factorlens.report.concept_overlap import common_images
from lightning_factorlens.report.figures_of import figure_of_measurement
from lightning_factorlens.report.parts import Group, Part, Table, Text
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import ConceptPage, ConceptRecord, Observation

RECORD = "concept_quality"
#: Concepts that are shown without a click.
N_SHOWN = 6
#: How a record of numbers alone gets its images.
NO_IMAGES = (
    "The record has the numbers alone. The images of the concepts lie in a file beside it (.pictures), which "
    "JSONLinesSink writes; without that file, report a checkpoint of the run with --model and --data."
)


def _build(subjects: Sequence[Subject]) -> list[Part]:
    parts = for_each(subjects, _parts)
    if parts and len(subjects) == 2:
        first, second = subjects
        return [*common_images(first.name, _page(first), second.name, _page(second)), *parts]
    return parts


def _parts(subject: Subject) -> list[Part]:
    history = subject.until(RECORD)
    if not history:
        return []
    record: ConceptRecord = history[-1][RECORD]
    parts: list[Part] = [Text(_sentence(history, record))]
    page = _page(subject)
    parts += [Text(NO_IMAGES), _numbers_alone(record)] if page is None else _cards(page)
    figure = figure_of_measurement(ConceptQuality(), "concept_timeline", history)
    if figure is not None:
        parts.append(Group("What became of the concepts over the run", [figure]))
    return parts


def _page(subject: Subject) -> ConceptPage | None:
    record = subject.latest_record(RECORD)
    if not isinstance(record, ConceptRecord) or record.page is None:
        return None
    return named_page(record.page, subject.class_names)


def _cards(page: ConceptPage) -> list[Part]:
    groups: list[Part] = [card_group(card) for card in page.cards[:N_SHOWN]]
    hidden = [card_group(card) for card in page.cards[N_SHOWN:]]
    if hidden:
        groups.append(Group(f"The other {len(hidden)} concepts, which are less clear", hidden, is_folded=True))
    return [*groups, Group("All concepts in numbers", [_numbers(page)], is_folded=True)]


def _sentence(history: Sequence[Observation], record: ConceptRecord) -> str:
    """How clear the concepts are now and how clear they were at first."""
    last = history[-1]
    alive = sum(record.alive)
    text = f"{alive} concepts at epoch {last.epoch}" if record.alive else f"Concepts at epoch {last.epoch}"
    if _is_number(record.clarity):
        text += f", of mean clarity {two_digits(record.clarity)}"
    first = next(observation for observation in history if RECORD in observation)
    if first is not last and _is_number(first[RECORD].clarity):
        text += f"; it was {two_digits(first[RECORD].clarity)} at epoch {first.epoch}"
    text += "."
    if record.changes is not None:
        same = sum(record.changes.continues)
        text += f" {same} of them are the same as in the record before."
    return text


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _numbers(page: ConceptPage) -> Table:
    rows = []
    for card in page.cards:
        numbers = (card.score, card.clarity, card.agreement, card.stability)
        rows.append((concept_name(card), *(two_digits(number) for number in numbers)))
    header = ("concept", "share of its class", "clarity", "agreement", "stability")
    return Table(f"Concepts of {page.n_images} images, the clearest first", header, rows)


def _numbers_alone(record: ConceptRecord) -> Table:
    n_concepts = max(len(record.alive), len(record.clarities), len(record.agreements))
    cosines = record.changes.cosine if record.changes is not None else ()
    rows = []
    for number in range(n_concepts):
        cells = [f"concept {number}"]
        for values in (record.clarities, record.agreements, cosines):
            cells.append(two_digits(values[number] if number < len(values) else None))
        rows.append(cells)
    return Table("Concepts in numbers", ("concept", "clarity", "agreement", "stability"), rows)


CONCEPTS = Section(
    "Concepts",
    "concepts",
    "A concept is a pattern that images and the neurons of the late layers have in common; it was found without "
    "labels. It is shown by its pixels, by the images that belong most to it, and by the class that the network "
    "itself predicts for them. Clarity is the probability that two of these images are of one predicted class, "
    "agreement the share of the commonest predicted class among them, and stability the cosine with the same concept "
    "in the record before. The name is the network's own prediction: a clear concept of a wrong network is still "
    "clear.",
    "Add the measurement ConceptQuality() to the lens, or report a checkpoint with --model and --data.",
    _build,
)
