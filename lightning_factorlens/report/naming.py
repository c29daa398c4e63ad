"""Names of runs that are told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from lightning_factorlens.report.subject import Subject

#: A folder that Lightning's loggers number; it does not tell what was trained.
VERSION = re.compile(r"version_\d+")


def distinguishing_names(paths: Sequence[PurePath]) -> list[str]:
    """Names of files without the parts of their paths that all of them share.

    Args:
        paths: The files, at least one.

    Example:
        >>> distinguishing_names([PurePath("runs/a/curves.jsonl"), PurePath("runs/b/curves.jsonl")])
        ['a', 'b']
        >>> distinguishing_names([PurePath("runs/a/curves.jsonl")]), distinguishing_names([PurePath("net.ckpt")])
        (['a'], ['net'])
        >>> distinguishing_names([PurePath("runs/digits/version_0/curves.jsonl")])
        ['digits/version_0']
    """
    parts = [list(path.with_suffix("").parts) for path in paths]
    if len(parts) == 1:
        folders = parts[0][:-1]
        if len(folders) > 1 and VERSION.fullmatch(folders[-1]):
            return ["/".join(folders[-2:])]
        return folders[-1:] or parts[0]
    while all(len(part) > 1 for part in parts) and len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while all(len(part) > 1 for part in parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def with_distinct_names(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects; those of one name are called by their sources, and where these are equal too they get numbers.

    Args:
        subjects: The subjects.
    """
    counts = Counter(subject.name for subject in subjects)
    shared = [subject for subject in subjects if counts[subject.name] > 1 and subject.source]
    sources = distinguishing_names([PurePath(subject.source) for subject in shared]) if len(shared) > 1 else []
    name_of = dict(zip(map(id, shared), sources))
    found: list[Subject] = []
    taken: Counter[str] = Counter()
    for subject in subjects:
        name = name_of.get(id(subject), subject.name)
        taken[name] += 1
        found.append(replace(subject, name=name if taken[name] == 1 else f"{name} ({taken[name]})"))
    return found
