"""Measurements that are made at every n-th full observation only."""

from __future__ import annotations

from lightning_factorlens.measurements.context import Context


def is_due(context: Context, every: int) -> bool:
    """Whether the running measurement is to be made now; counts the observations since it was.

    The count is part of its state, so that a resumed run keeps the cadence. Another probe drops the state, and the
    lens's cache then has the count. Process 0 decides, since the cache may differ after an observation that has failed.

    Args:
        context: The data of the observation.
        every: It is made at the first full observation, and then at every n-th.
    """
    state = context.state
    count: int | None = context.cache.get(context.intermediates.measurement) if state is None else state["n_since"]
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
    context.cache[context.intermediates.measurement] = n_since
    context.keep_state({"n_since": n_since})
