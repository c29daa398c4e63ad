"""Measurements that are made at every n-th full observation only."""

from __future__ import annotations

from lightning_factorlens.measurements.context import Context
from lightning_factorlens.run_state import N_SINCE


def is_due(context: Context, every: int) -> bool:
    """Whether the running measurement is to be made now; counts the observations since it was.

    The count is part of its state, of which it alone is kept for another probe: neither a resumed run nor other samples
    change the cadence. Process 0 decides.

    Args:
        context: The data of the observation.
        every: It is made at the first full observation, and then at every n-th.
    """
    state = context.state
    count: int | None = None if state is None else state[N_SINCE]
    n_since = context.process_group.broadcast_object(lambda: count)
    if n_since is None or n_since + 1 >= every:
        keep_count(context, 0)
        return True
    keep_count(context, n_since + 1)
    return False


def keep_count(context: Context, n_since: int) -> None:
    """Keeps how many observations ago the running measurement was made.

    Args:
        context: The data of the observation.
        n_since: Number of observations; that of the cadence makes it due at the next one.
    """
    context.keep_state({N_SINCE: n_since})
