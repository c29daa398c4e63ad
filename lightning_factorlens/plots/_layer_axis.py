"""An axis of layers: their names stand upright beside it, from the input above to the output below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_factorlens.plots.style import SMALL, subsample
from lightning_factorlens.plots.type_width import layer_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Largest number of layers that are named, evenly spaced.
MAX_NAMES = 12
#: Width of the names in inches.
NAME_WIDTH = 1.75


def name_layers(ax: Axes, layers: Sequence[str]) -> None:
    """Makes the y axis one of layers, one unit apart.

    Args:
        ax: The axes, with `NAME_WIDTH` and the length of a tick free to their left.
        layers: Names of the layers, from input to output.
    """
    positions = subsample(range(len(layers)), MAX_NAMES)
    labels = [layer_label(layers[position], NAME_WIDTH - 0.1, SMALL - 1) for position in positions]
    ax.set_yticks(positions)
    ax.set_yticklabels(labels, fontsize=SMALL - 1, parse_math=False)
    ax.set_ylim(len(layers) - 0.4, -0.6)
