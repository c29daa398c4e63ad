"""What makes the figures: matplotlib's class, or pyplot where a user is to be shown them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_maker: ContextVar[Callable[..., Figure] | None] = ContextVar("figure_maker", default=None)


def figure_maker() -> Callable[..., Figure] | None:
    """What `figures_made_by` names; None outside of it."""
    return _maker.get()


@contextmanager
def figures_made_by(make: Callable[..., Figure]) -> Iterator[None]:
    """Inside of this context `new_figure` calls ``make``, for example `matplotlib.pyplot.figure`.

    Args:
        make: Takes the keyword arguments of `matplotlib.figure.Figure`.
    """
    token = _maker.set(make)
    try:
        yield
    finally:
        _maker.reset(token)
