"""A figure that notebooks show. The only module of the package that imports matplotlib when it is imported."""

from __future__ import annotations

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that a notebook shows where it is the last value of a cell, with pyplot or without."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        FigureCanvasAgg(self).print_png(file)
        return file.getvalue()
