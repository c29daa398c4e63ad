"""The declaration of a section of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lightning_factorlens.report.parts import Group, Part
from lightning_factorlens.report.subject import Subject


@dataclass(frozen=True)
class Section:
    """One section; its file in ``report/sections/`` declares it, and ``report/registry.py`` lists it.

    Attributes:
        title: Its heading.
        anchor: Its anchor on the page.
        meaning: What it means and what it cannot tell, in a few sentences.
        absent: How to get what it shows, in one sentence; stands on the page where `build` finds nothing.
        build: Its parts, from one subject or several that are compared; none where nothing of its kind was recorded.
    """

    title: str
    anchor: str
    meaning: str
    absent: str
    build: Callable[[Sequence[Subject]], Sequence[Part]]


def for_each(subjects: Sequence[Subject], parts_of: Callable[[Subject], Sequence[Part]]) -> list[Part]:
    """The parts of every subject, below its name where there are several.

    Args:
        subjects: The subjects of the report.
        parts_of: The parts of one subject; none where nothing was recorded.
    """
    parts: list[Part] = []
    for subject in subjects:
        found = parts_of(subject)
        if found and len(subjects) > 1:
            parts.append(Group(subject.name, found))
        else:
            parts += found
    return parts
