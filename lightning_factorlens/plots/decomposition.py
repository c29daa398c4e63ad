"""The steps of a layer's computation: Ψ(X), VᵀΨ, SVᵀΨ, Y, what follows, and Uᵀ of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.plots._maps import as_picture, largest_magnitude, tile_height
from lightning_factorlens.plots.latent_images import add_own_scale_bar
from lightning_factorlens.plots.style import INK, SIDE_MARGIN, SMALL, WIDTH, add_title, figure_of
from lightning_factorlens.plots.tiles import draw_tile, tile_axes, tile_inches
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results import LayerDecomposition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Tiles in a row.
ACROSS = 12
#: Height in inches of the title, a heading, the singular values above their tiles, and the colour bar.
TOP = 0.66
HEADING = 0.3
NUMBERS = 0.18
BAR = 0.42


def decomposition_figure(panels: LayerDecomposition, count: int = ACROSS) -> Figure:
    """Six panels of heat maps, one map for each entry of the receptive fields, vector or channel.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
    interpretability framework", figure 5.

    Args:
        panels: From `hierarchy.decomposition_panels`.
        count: Largest number of maps of each panel, the first of them.

    Returns:
        The figure. Maps have the ids ``<panel>/<number>`` with the panels ``fields``, ``projections``, ``signals``,
        ``outputs``, ``activation`` and ``projected``.

    Raises:
        ValueError: Another argument than panels, or a ``count`` below 1.

    Example:
        >>> import torch
        >>> from lightning_factorlens.hierarchy import decomposition_panels
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> figure = decomposition_figure(decomposition_panels(model, torch.rand(2, 1, 5, 5), "0"))
    """
    check_type("panels", panels, LayerDecomposition, "pass decomposition_panels(model, probe, layer)")
    check_int("count", count, 1)
    rows = _panels(panels)
    tile = tile_inches(None, ACROSS)
    height = tile_height(as_picture(panels.outputs[0]))
    lengths = [-(-min(len(values), count) // ACROSS) for _, _, values in rows]
    down = sum(lengths) * height + (len(rows) * HEADING + NUMBERS) / tile
    ax = tile_axes(ACROSS, down, TOP, BAR)
    y = 0.0
    for (name, heading, values), length in zip(rows, lengths):
        y += HEADING / tile
        ax.text(0.0, y - 0.1, heading, fontsize=SMALL, color=INK, va="bottom", parse_math=False)
        if name == "signals":
            y += NUMBERS / tile
            _write_values(ax, panels.s[: min(count, ACROSS)], y)
        _draw(ax, name, values[:count], y, height)
        y += length * height
    figure = figure_of(ax)
    label = layer_label(panels.layer, 3.0)
    add_title(figure, f"Singular vectors of {label}, image {panels.image}", [_shown(panels, count)])
    add_own_scale_bar(figure, True, "1: the largest magnitude in each panel")
    return figure


def _panels(panels: LayerDecomposition) -> list[tuple[str, str, Tensor]]:
    """Name, heading and values of each panel."""
    following = panels.activation_name
    name = following if following in ("ReLU(Y + B)", "Y + B") else "A"
    heading = name if name != "A" else f"A, {layer_label(following, WIDTH - 2 * SIDE_MARGIN - 0.6)}"
    return [
        ("fields", f"Ψ(X), {len(panels.fields)} entries of the receptive fields", panels.fields),
        ("projections", "VᵀΨ, by vector", panels.projections),
        ("signals", "SVᵀΨ, by vector; above, the singular values", panels.signals),
        ("outputs", f"Y, {len(panels.outputs)} channels without bias", panels.outputs),
        ("activation", heading, panels.activation),
        ("projected", f"Uᵀ {name}, by vector", panels.projected_activation),
    ]


def _shown(panels: LayerDecomposition, count: int) -> str:
    r = len(panels.s)
    if max(r, len(panels.fields), len(panels.outputs)) <= count:
        return f"{r} singular vectors, largest singular value first"
    return f"{r} singular vectors, largest singular value first; at most {count} maps of a panel"


def _write_values(ax: Axes, s: Tensor, y: float) -> None:
    for column, value in enumerate(s.tolist()):
        ax.text(column + 0.48, y - 0.06, f"{value:.2g}", fontsize=SMALL - 1.5, color=INK, va="bottom", ha="center")


def _draw(ax: Axes, name: str, values: Tensor, y: float, height: float) -> None:
    bound = largest_magnitude(values)
    for number, channel in enumerate(values):
        row, column = divmod(number, ACROSS)
        pixels = as_picture(channel)
        draw_tile(ax, pixels, column, y + row * height, bound, f"{name}/{number}", height=height, signed=True)
