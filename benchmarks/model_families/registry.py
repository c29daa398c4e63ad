"""All families, by name."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model_families.family import Family
from benchmarks.model_families.graph_families import graph_families
from benchmarks.model_families.timm_families import timm_families
from benchmarks.model_families.torchvision_families import torchvision_families
from benchmarks.model_families.transformers_families import transformers_families


def _by_name() -> dict[str, Family]:
    everything = [*torchvision_families(), *timm_families(), *transformers_families(), *graph_families()]
    return {family.name: family for family in everything}


FAMILIES = _by_name()


def chosen_families(only: Sequence[str] = (), prefix: str = "") -> list[Family]:
    """The families that the command line chooses.

    Args:
        only: Full names, or their last parts, such as ``"ssd"``; empty for all.
        prefix: Beginning of the full names, such as ``"torchvision.detection"``; empty for all.

    Raises:
        ValueError: Nothing is chosen, or a name is that of no family.
    """
    unknown = set(only)
    found = []
    for name, family in FAMILIES.items():
        last_part = name.rpartition(".")[2]
        is_named = name in only or last_part in only
        unknown -= {name, last_part}
        if (is_named or not only) and name.startswith(prefix):
            found.append(family)
    if unknown or not found:
        wrong = ", ".join(sorted(unknown)) or prefix
        raise ValueError(f"found no family {wrong}; there are: {', '.join(FAMILIES)}.")
    return found
