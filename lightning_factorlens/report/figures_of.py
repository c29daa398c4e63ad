"""The figures that measurements declare, as images of the page."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.measurements import Measurement
from lightning_factorlens.report.parts import Picture
from lightning_factorlens.report.pictures import figure_picture
from lightning_factorlens.results import Observation


def figure_of_measurement(measurement: Measurement, name: str, history: Sequence[Observation]) -> Picture | None:
    """A declared figure of a measurement.

    Args:
        measurement: The measurement.
        name: Name of the figure.
        history: Observations, oldest first.

    Returns:
        The figure with its help as its caption; None where there is nothing to draw.
    """
    for spec in measurement.figures:
        if spec.name == name:
            figure = spec.draw(history)
            if figure is not None:
                return figure_picture(figure, f"Chart. {spec.help}", spec.help)
    return None
