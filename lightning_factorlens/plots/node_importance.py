"""Node importance: the units of every layer by mean z, with the dead ones marked; and the layers' norms by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_factorlens._validation import check_type
from lightning_factorlens.plots._layer_axis import MAX_NAMES, layer_axes, layer_legend
from lightning_factorlens.plots.style import BLUE, LINE_COLORS, LINE_MARKERS, SMALL, VERMILION, figure_of, subsample
from lightning_factorlens.plots.type_width import layer_label
from lightning_factorlens.results.node_importance import NodeImportance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches below the chart.
BELOW = 0.95
#: Largest number of groups that have a line.
MAX_GROUPS = 6


def node_importance_figure(importance: NodeImportance, ax: Axes | None = None) -> Figure:
    """Mean z of every unit, relative to the layer's largest; units that are active in no image are marked.

    Args:
        importance: From `visualization.node_importance` or `FactorLens.node_importance`.
        ax: Axes to draw into; None for a new figure.

    Returns:
        The figure. The units have the id ``units/<layer>``, the dead ones ``dead/<layer>``.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> figure = node_importance_figure(FactorLens(model).node_importance(torch.rand(9, 1, 8, 8)))
    """
    check_type("importance", importance, NodeImportance, "pass what FactorLens.node_importance returns")
    text = (
        "mean norm of a unit's map before bias and activation function, relative to the largest of its layer; dead "
        "units, active in no image, can rank high, since their bias is no part of it"
    )
    layers = subsample(list(importance.layers), MAX_NAMES)
    is_new_figure = ax is None
    ax = layer_axes("Node importance", text, layers, "mean z, relative to the layer's largest", BELOW, ax)
    has_dead = False
    for row, name in enumerate(layers):
        layer = importance[name]
        values = layer.mean_z.numpy() / (float(layer.mean_z.max()) or 1.0)
        is_dead = layer.is_dead.numpy()
        alive = values[~is_dead]
        ax.plot(alive, np.full(len(alive), row), "|", color=BLUE, ms=9, mew=1.2, ls="none", gid=f"units/{name}",
                label="unit" if row == 0 else "_")  # fmt: skip
        if is_dead.any():
            ax.plot(values[is_dead], np.full(int(is_dead.sum()), row), "x", color=VERMILION, ms=6, mew=1.6, ls="none",
                    gid=f"dead/{name}", label="_" if has_dead else "dead unit")  # fmt: skip
            has_dead = True
    ax.set_xlim(-0.02, 1.04)
    layer_legend(ax, is_new_figure)
    return figure_of(ax)


def layer_norms_figure(importance: NodeImportance, groups: Sequence[Any] | None = None) -> Figure:
    """The mean norm of every layer for groups of images, such as the predicted classes.

    Gulati et al. (2017), figures 28 and 29. Each layer is relative to its mean over all images.

    Args:
        importance: From `visualization.node_importance` or `FactorLens.node_importance`.
        groups: The group of every image, of length N; None for all images in one. Six groups at most are drawn.

    Returns:
        The figure. Every group has the id ``norm/<group>``.

    Raises:
        ValueError: Another number of groups than of images.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> importance = FactorLens(model).node_importance(torch.rand(9, 1, 8, 8))
        >>> figure = layer_norms_figure(importance, [0, 1, 2] * 3)
    """
    check_type("importance", importance, NodeImportance, "pass what FactorLens.node_importance returns")
    norms = importance.layer_norms().numpy()
    labels = np.array(["all"] * len(norms) if groups is None else [str(group) for group in groups])
    if len(labels) != len(norms):
        raise ValueError(f"groups: must have one entry for each of {len(norms)} images, found {len(labels)}.")
    names = subsample(sorted(set(labels.tolist())), MAX_GROUPS)
    layers = subsample(list(importance.layers), MAX_NAMES)
    columns = [list(importance.layers).index(name) for name in layers]
    means = norms.mean(0)
    relative = norms / np.where(means > 0, means, 1.0)
    text = "mean norm of a layer's maps before bias and activation function, relative to its mean over all images"
    below = 0.75 + 0.2 * -(-len(names) // 2)
    ax = layer_axes("Layer norms", text, layers, "norm, relative to that of all images", below)
    for name, color, marker in zip(names, LINE_COLORS, LINE_MARKERS):
        values = relative[labels == name].mean(0)[columns]
        label = layer_label(name, 1.8, SMALL - 1)
        ax.plot(values, range(len(layers)), f"{marker}-", color=color, ms=5, lw=1.2, gid=f"norm/{name}", label=label)
    layer_legend(ax, is_new_figure=True)
    return figure_of(ax)
