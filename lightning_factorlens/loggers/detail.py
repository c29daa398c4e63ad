"""Which scalars loggers get at each level of ``detail``.

At ``"summary"``, the built-in measurements have no scalar that depends on the number of layers, so that the number of
tags is about the same for every network. At ``"layers"`` there are a few for each layer, at ``"all"`` every number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightning_factorlens.loggers.tags import TaggedValue
from lightning_factorlens.measurements import DETAILS, Detail, Scalar
from lightning_factorlens.results.curves import middle_rank
from lightning_factorlens.results.record import is_input_block


def at_detail(tagged: Sequence[TaggedValue], detail: Detail) -> list[TaggedValue]:
    """The tagged values that loggers get at a level of detail.

    Args:
        tagged: The values of an observation.
        detail: The level.

    Returns:
        The values of scalars that are declared for this level or one before it, in their order. Below the level
        ``"all"``, curves over ranks are thinned out as their declarations say.

    Example:
        >>> from lightning_factorlens.results import Value
        >>> scalar = Scalar("rms", "{prefix}_layers/{scope}/rms", "Root mean square.", detail="layers")
        >>> tagged = [TaggedValue("factorlens_layers/conv/rms", Value("rms", 1.5, "conv"), scalar, "rms")]
        >>> len(at_detail(tagged, "summary")), len(at_detail(tagged, "layers"))
        (0, 1)
    """
    if detail == "all":
        return list(tagged)
    ranks_of = _ranks_by_declaration(tagged)
    chosen = []
    for entry in tagged:
        is_shown = includes(detail, _level(entry))
        if is_shown and entry.value.rank in (None, *_logged_ranks(entry.scalar, ranks_of.get(entry.scalar, ()))):
            chosen.append(entry)
    return chosen


def includes(detail: Detail, level: Detail) -> bool:
    """Whether what is declared for ``level`` is shown at ``detail``.

    Args:
        detail: The level that the user has chosen.
        level: The level from which something is shown.

    Example:
        >>> includes("layers", "summary"), includes("layers", "all")
        (True, False)
    """
    return DETAILS.index(level) <= DETAILS.index(detail)


def scalars_at_detail(scalars: Iterable[Scalar], detail: Detail) -> list[Scalar]:
    """The declarations that loggers get at a level of detail.

    Args:
        scalars: Declarations.
        detail: The level.
    """
    return [scalar for scalar in scalars if includes(detail, scalar.detail)]


def few_ranks(ranks: Sequence[int]) -> tuple[int, ...]:
    """At most three ranks, evenly chosen; the middle one of all of them is also the middle one of these.

    Args:
        ranks: The ranks, ascending, at least one.

    Example:
        >>> few_ranks((1, 2, 4, 8, 16, 32))
        (2, 8, 32)
    """
    chosen = {ranks[len(ranks) // 4], middle_rank(ranks), ranks[-1]}
    return tuple(sorted(chosen))


def _level(entry: TaggedValue) -> Detail:
    """The level of a value: that of its declaration, but a channel of the input is no layer."""
    scope = entry.value.scope
    if entry.scalar.detail == "layers" and scope is not None and is_input_block(scope):
        return "all"
    return entry.scalar.detail


def _ranks_by_declaration(tagged: Sequence[TaggedValue]) -> dict[Scalar, tuple[int, ...]]:
    """The ranks that occur in the values of each declaration, ascending."""
    found: dict[Scalar, set[int]] = {}
    for entry in tagged:
        if entry.value.rank is not None:
            found.setdefault(entry.scalar, set()).add(entry.value.rank)
    ranks_of = {}
    for scalar, ranks in found.items():
        ranks_of[scalar] = tuple(sorted(ranks))
    return ranks_of


def _logged_ranks(scalar: Scalar, ranks: Sequence[int]) -> tuple[int, ...]:
    """The ranks of a curve that loggers get below the level ``"all"``."""
    if scalar.ranks == "all" or not ranks:
        return tuple(ranks)
    if scalar.ranks == "few":
        return few_ranks(ranks)
    return (middle_rank(ranks),)
