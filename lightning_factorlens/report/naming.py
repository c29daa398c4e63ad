"""Names of runs that are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from lightning_factorlens.report.subject import Subject


def distinguishing_names(paths: Sequence[PurePath]) -> list[str]:
    """Names of files without the parts of their paths that all of them share.

    Args:
        paths: The files, at least one.

    Example:
        >>> distinguishing_names([PurePath("runs/a/curves.jsonl"), PurePath("runs/b/curves.jsonl")])
        ['a', 'b']
        >>> distinguishing_names([PurePath("runs/a/curves.jsonl")]), distinguishing_names([PurePath("net.ckpt")])
        (['a'], ['net'])
    """
    parts = [list(path.with_suffix("").parts) for path in paths]
    if len(parts) == 1:
        return parts[0][-2:-1] or parts[0]
    while all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while all(len(part) > 1 for part in parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def with_distinct_names(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects; a name that occurs before gets a number.

    Args:
        subjects: The subjects.
    """
    counts: dict[str, int] = {}
    found = []
    for subject in subjects:
        n = counts.get(subject.name, 0) + 1
        counts[subject.name] = n
        found.append(subject if n == 1 else replace(subject, name=f"{subject.name} ({n})"))
    return found
