"""The method `plot` of results.

Results lie below the packages that draw them and that collect what is drawn. This is the only module that imports
upwards, and it does so when a figure is asked for, so that results can be read without matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Plottable:
    """Base of the results that have a figure of their own."""

    def plot(
        self, ax: Axes | Sequence[Axes] | np.ndarray | None = None, **options: Any
    ) -> tuple[Figure, Axes | np.ndarray]:
        """Draws the result, as torchmetrics' ``plot`` does.

        Example:
            >>> from lightning_factorlens.results import RankCurve, RankCurves
            >>> curve = RankCurve((1, 2, 4), rmse=(0.4, 0.2, 0.1), rel_error=(0.8, 0.4, 0.2),
            ...                   rel_sq_error=(0.64, 0.16, 0.04))
            >>> figure, ax = RankCurves({"total": curve}).plot()
            >>> ax.get_xlabel()
            'rank (components)'

        Args:
            ax: The axes to draw into. Results with several panels take a sequence of axes where each panel has one,
                and the error says how many; results whose panels are laid out together draw a figure of their own
                only. The other axes of the figure stay as they are. None draws a new figure, which pyplot knows:
                ``matplotlib.pyplot.show()`` and notebooks show it.
            **options: Further arguments of the figure's function in `lightning_factorlens.plots`, such as
                ``untrained=`` of `node_health_figure`.

        Returns:
            The figure, and its axes: one `Axes` for a result with one panel, and an array of shape (panels,) for a
            result with several panels or with a colour bar, which is then the last one.

        Raises:
            ValueError: There is nothing to draw, or ``ax`` is given where the result cannot be drawn into it.
            TypeError: ``ax`` is neither axes nor a sequence of axes.
        """
        from lightning_factorlens.plots.plot_result import plot_result

        return plot_result(self, ax, options)


class PlottableAsPage(Plottable):
    """Base of concepts, which are drawn as the page on which `concepts.concept_page` collects what figures show."""

    def plot(
        self, ax: Axes | Sequence[Axes] | np.ndarray | None = None, **options: Any
    ) -> tuple[Figure, Axes | np.ndarray]:
        """Draws the clearest concepts: latent images and top images.

        Example:
            >>> import torch
            >>> from lightning_factorlens import FactorLens
            >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
            >>> concepts = FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2)
            >>> figure, axes = concepts.plot(title="Two concepts")

        Args:
            ax: Left out, since the panels are laid out together.
            **options: Arguments of `concepts.concept_page`, such as ``names=``, ``stability=`` and ``count=``, and of
                `plots.concept_sheet_figure`, such as ``title=``.

        Returns:
            The figure, and its axes as an array.

        Raises:
            ValueError: ``ax`` is given; or as `concept_page` raises it.
        """
        from lightning_factorlens.concepts.page import concept_page

        of_page = {name: options.pop(name) for name in ("names", "stability", "count") if name in options}
        return concept_page(self, **of_page).plot(ax, **options)  # type: ignore[arg-type]
