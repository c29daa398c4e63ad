"""A result in a new figure, which pyplot shows, or in a user's axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_factorlens.plots._result_figures import FIGURES, ResultFigure
from lightning_factorlens.plots.figure_maker import figures_made_by
from lightning_factorlens.plots.style import fit_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_result(
    result: Any, ax: Axes | Sequence[Axes] | np.ndarray | None, options: Mapping[str, Any]
) -> tuple[Figure, Axes | np.ndarray]:
    """Draws a result.

    Args:
        result: A result of a type that has a figure.
        ax: See `Plottable.plot`.
        options: See `Plottable.plot`.

    Returns:
        See `Plottable.plot`.

    Raises:
        ValueError, TypeError: See `Plottable.plot`.
    """
    kind = _kind_of(result)
    axes: Sequence[Axes]
    if ax is None:
        figure = _draw_new(result, kind, options)
        axes = [] if figure is None else figure.axes
    else:
        axes = _check_axes(result, kind, ax)
        figure = None if kind.draw_into is None else kind.draw_into(result, axes, **options)
        for each in axes:
            fit_title(each)
    if figure is None:
        raise ValueError(f"{type(result).__name__}: there is nothing to draw; it needs {kind.missing}.")
    return figure, axes[0] if kind.is_single else _as_array(axes)


def _kind_of(result: Any) -> ResultFigure:
    """How results of this type, or of the class that it is derived from, are drawn."""
    for base in type(result).__mro__:
        if base in FIGURES:
            return FIGURES[base]
    raise TypeError(f"{type(result).__name__}: has no figure; the functions of lightning_factorlens.plots draw others.")


def _draw_new(result: Any, kind: ResultFigure, options: Mapping[str, Any]) -> Figure | None:
    """A figure that pyplot knows; none is left behind where drawing fails."""
    from matplotlib import pyplot

    before = set(pyplot.get_fignums())
    try:
        with figures_made_by(pyplot.figure):
            return kind.draw(result, **options)
    except BaseException:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)
        raise


def _check_axes(result: Any, kind: ResultFigure, ax: Any) -> list[Axes]:
    """The user's axes as a list of as many as the result has panels."""
    from matplotlib.axes import Axes

    name = type(result).__name__
    if kind.draw_into is None:
        raise ValueError(f"ax: the panels of {name} are laid out together, in a figure of their own; leave ax out.")
    axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
    expected = kind.count_axes(result)
    if not expected:
        return []
    for each in axes:
        if not isinstance(each, Axes):
            raise TypeError(f"ax: must be matplotlib axes or a sequence of them, found {each!r}.")
    if len(axes) != expected:
        raise ValueError(f"ax: {name} needs {expected} axes, one for each panel, found {len(axes)}; pass {expected}.")
    return axes


def _as_array(axes: Sequence[Axes]) -> np.ndarray:
    array = np.empty(len(axes), dtype=object)
    array[:] = axes
    return array
