"""What becomes of concepts from one fit to the next, in a form small enough to be kept over a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from lightning_factorlens.results.plottable import Plottable

#: A concept, and the concepts of which it is the sum.
Parts = tuple[int, tuple[int, ...]]
#: What is said of several concepts at once.
PLURAL = {"birth": "are new", "death": "are gone"}


@dataclass(frozen=True)
class ConceptChanges:
    """How the concepts of one fit have become those of the next. `concepts.concept_changes` has the definitions.

    Attributes:
        previous: For each concept its partner among the earlier ones; −1 for none.
        cosine: Cosine of each concept with its partner; 0 for none.
        continues: Whether each concept is the same as its partner.
        births: Concepts that are new.
        deaths: Earlier concepts that are gone.
        splits: Earlier concepts that were split, each with the concepts that are its parts.
        merges: Concepts into which earlier ones were merged, each with these.
    """

    previous: tuple[int, ...]
    cosine: tuple[float, ...]
    continues: tuple[bool, ...]
    births: tuple[int, ...]
    deaths: tuple[int, ...]
    splits: tuple[Parts, ...]
    merges: tuple[Parts, ...]

    @property
    def drift(self) -> tuple[float | None, ...]:
        """1 − cosine of every concept that continues its partner; None for the others."""
        return tuple(1 - cosine if same else None for cosine, same in zip(self.cosine, self.continues))


@dataclass(frozen=True)
class ConceptEvent:
    """One thing that happened to concepts.

    Attributes:
        label: When, e.g. ``"epoch 3"``.
        kind: ``"birth"``, ``"death"``, ``"split"`` or ``"merge"``.
        concept: The concept that was born, has died, was split, or is the sum: numbers of the fit before for deaths and
            splits, of the fit after for births and merges.
        parts: The parts of a split concept, or the concepts that were merged.
    """

    label: str
    kind: str
    concept: int
    parts: tuple[int, ...] = ()

    def __str__(self) -> str:
        listed = ", ".join(map(str, self.parts))
        text = {
            "birth": f"concept {self.concept} is new",
            "death": f"concept {self.concept} is gone",
            "split": f"concept {self.concept} is split into {listed}",
            "merge": f"concepts {listed} are merged into {self.concept}",
        }
        return f"{self.label}: {text[self.kind]}"


@dataclass(frozen=True)
class ConceptTimeline(Plottable):
    """Concepts followed over several fits.

    Attributes:
        labels: The name of each fit, e.g. ``"epoch 3"``.
        alive: For each fit whether anything is left of each concept.
        changes: From each fit to the next, one fewer than labels.
    """

    labels: tuple[str, ...]
    alive: tuple[tuple[bool, ...], ...]
    changes: tuple[ConceptChanges, ...]

    def rows(self) -> list[tuple[int, ...]]:
        """For each fit the row of each concept in a figure: that of its partner before, else a free one."""
        found = [tuple(range(len(self.alive[0])))]
        n_rows = len(found[0])
        for changes in self.changes:
            taken = {found[-1][partner] for partner in changes.previous if partner >= 0}
            free = [row for row in range(n_rows + len(changes.previous)) if row not in taken]
            rows = [found[-1][partner] if partner >= 0 else free.pop(0) for partner in changes.previous]
            n_rows = max(n_rows, *(row + 1 for row in rows))
            found.append(tuple(rows))
        return found

    def events(self) -> Iterator[ConceptEvent]:
        """Every birth, death, split and merge, in order."""
        for label, changes in zip(self.labels[1:], self.changes):
            for concept, parts in changes.splits:
                yield ConceptEvent(label, "split", concept, parts)
            for concept, parts in changes.merges:
                yield ConceptEvent(label, "merge", concept, parts)
            for concept in changes.births:
                yield ConceptEvent(label, "birth", concept)
            for concept in changes.deaths:
                yield ConceptEvent(label, "death", concept)

    def __str__(self) -> str:
        lines = [f"{len(self.labels)} fits from {self.labels[0]} to {self.labels[-1]}"]
        for (label, kind), group in groupby(self.events(), key=lambda event: (event.label, event.kind)):
            events = list(group)
            if kind in PLURAL and len(events) > 1:
                listed = ", ".join(str(event.concept) for event in events)
                lines.append(f"{label}: concepts {listed} {PLURAL[kind]}")
            else:
                lines += [str(event) for event in events]
        if len(lines) == 1:
            lines.append("no concept was born, split, merged or lost")
        return "\n".join(lines)
