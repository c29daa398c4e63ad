"""The variable parts of tags, which may have only letters, digits and ``- / . _``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lightning_factorlens.results import Value


def check_prefix(prefix: str) -> str:
    """Checks that TensorBoard would keep a prefix as the name of one group.

    Args:
        prefix: First part of the tags.

    Returns:
        The prefix itself.

    Raises:
        ValueError: It is empty or has other characters than letters, digits, ``-``, ``.`` and ``_``.

    Example:
        >>> check_prefix("probe_a")
        'probe_a'
    """
    if not isinstance(prefix, str) or not re.fullmatch(r"[-\w.]+", prefix, flags=re.ASCII):
        raise ValueError(
            f"prefix: may have letters, digits and '-', '.', '_' only, found {prefix!r}; replace the other characters."
        )
    return prefix


def tag_names(names: Iterable[str]) -> list[str]:
    """Converts names to labels that tags may contain; distinct names get distinct labels.

    A model that is a single layer has the empty name, whose label is ``_``.

    Args:
        names: The names.

    Returns:
        One label for each name, in order.

    Example:
        >>> tag_names(["layer 1", "layer_1", ""])
        ['layer_1', 'layer_1_2', '_']
    """
    used: set[str] = set()
    labels = []
    for name in names:
        stem = re.sub(r"[^-/\w.]", "_", name, flags=re.ASCII).strip("/") or "_"
        label = stem
        copy = 2
        while label in used:
            label = f"{stem}_{copy}"
            copy += 1
        used.add(label)
        labels.append(label)
    return labels


def scope_labels(values: Sequence[Value], further: Iterable[str] = ()) -> dict[str | None, str]:
    """The labels that stand for the scopes of one record in tags, in the order of their appearance.

    Args:
        values: All values of the record.
        further: Scopes that possibly no value has, such as those of histograms.

    Returns:
        Label by scope.

    Example:
        >>> scope_labels([Value("rms", 1.0, "layer 1"), Value("rms", 2.0)])
        {'layer 1': 'layer_1'}
    """
    scopes: dict[str, None] = {}
    for value in values:
        if value.scope is not None:
            scopes[value.scope] = None
    scopes |= dict.fromkeys(further)
    labels: dict[str | None, str] = dict(zip(scopes, tag_names(scopes)))
    return labels
