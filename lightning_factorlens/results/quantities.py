"""Finds one number of an observation by the name of its quantity, and says what there is where the name is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from lightning_factorlens.results.record import NETWORK_SCOPES, Value

#: The scope of the whole network.
TOTAL = "total"
#: Quantities that measurements declare: an observation may lack one, because it was not measured.
_declared: set[str] = set()
#: Number of names in an error message.
MAX_NAMES = 12


def declare_quantities(names: Iterable[str]) -> None:
    """Makes quantities known, so that an observation without them has no value instead of an unknown name.

    Args:
        names: The quantities of a measurement.
    """
    _declared.update(names)


def find_value(
    values: Sequence[Value], quantity: str, scope: str | None, rank: int | None, is_full: bool
) -> float | None:
    """Finds one number; see `Observation.value`.

    Args:
        values: Every number of the observation.
        quantity: See `Value`.
        scope: See `Value`; None also stands for ``"total"``.
        rank: See `Value`.
        is_full: Whether all measurements were made.

    Raises:
        KeyError: The observation does not have such a number, though it was not left out.
    """
    named = [value for value in values if value.quantity == quantity]
    if not named:
        if quantity in _declared or not is_full:
            return None
        raise KeyError(_unknown_name(values, quantity))
    for wanted in (scope,) if scope is not None else (None, TOTAL):
        for value in named:
            if (value.scope, value.rank) == (wanted, rank):
                return value.value
    scopes = list(dict.fromkeys(value.scope for value in named))
    is_condensed = scope is not None and scope not in NETWORK_SCOPES and set(scopes) <= {None, *NETWORK_SCOPES}
    if is_condensed and not get_close_matches(str(scope), NETWORK_SCOPES, cutoff=0.8):
        return None
    raise KeyError(_unknown_part(named, quantity, scope, rank))


def _unknown_name(values: Sequence[Value], quantity: str) -> str:
    names = list(dict.fromkeys(value.quantity for value in values))
    near = get_close_matches(quantity, sorted({*names, *_declared}))
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"this observation has no quantity {quantity!r}; it has {_listed(names)}.{hint}"


def _unknown_part(named: Sequence[Value], quantity: str, scope: str | None, rank: int | None) -> str:
    scopes = list(dict.fromkeys(value.scope for value in named))
    ranks = list(dict.fromkeys(value.rank for value in named))
    near = get_close_matches(scope, [name for name in scopes if name]) if scope is not None else []
    hint = f" Did you mean scope={near[0]!r}?" if near and near[0] != scope else ""
    return (
        f"{quantity!r} has no value for scope={scope!r}, rank={rank!r} in this observation; "
        f"scopes: {_listed(scopes)}; ranks: {_listed(ranks)}.{hint}"
    )


def _listed(names: Sequence[object]) -> str:
    """The names, of many the first ones."""
    shown = ", ".join(map(repr, names[:MAX_NAMES])) or "none"
    return shown if len(names) <= MAX_NAMES else f"{shown} and {len(names) - MAX_NAMES} more"
