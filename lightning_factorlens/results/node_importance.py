"""How much of an image arrives at every unit of every layer, as `visualization` measures it and figures show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.by_layer import ByLayer
from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True, eq=False, repr=False)
class LayerImportance(ShortRepr):
    """The importance of the units of one layer, for the N images of a probe.

    Attributes:
        name: Name of the layer.
        z: z(l, i, j) = ‖δ_j ∗ w_i‖_F of unit i for image j, before bias and activation function, shape (N, units),
            float32, on the CPU.
        activation: Largest value of every unit in every image after the activation function, shape (N, units).
        activation_name: The call whose output that is; the layer's own where no activation function follows.
    """

    name: str
    z: Tensor
    activation: Tensor
    activation_name: str

    @property
    def layer_norms(self) -> Tensor:
        """The layer's norm for every image, shape (N,), float64; its square is the sum of z² over the units."""
        return torch.linalg.vector_norm(self.z.double(), dim=1)

    @property
    def mean_z(self) -> Tensor:
        """Mean of z over the images, shape (units,), float64."""
        return self.z.double().mean(0)

    @property
    def ranking(self) -> Tensor:
        """The units by their mean z, the largest first, shape (units,)."""
        return self.mean_z.argsort(descending=True, stable=True)

    @property
    def is_dead(self) -> Tensor:
        """Whether a unit is active in no image, shape (units,): z does not show it, since the bias is no part of z."""
        return self.activation.amax(0) <= 0

    def top_images(self, count: int = 3) -> Tensor:
        """Positions of the images with the largest z of every unit, shape (units, min(count, N)).

        Gulati et al. (2017), section 2.0.1: X* = argmax_j z(l, i, j).

        Args:
            count: Number of images; of equal ones the first in the probe comes first.
        """
        return self.z.argsort(dim=0, descending=True, stable=True)[:count].T.contiguous()


@dataclass(frozen=True, eq=False, repr=False)
class NodeImportance(ByLayer[LayerImportance], ShortRepr, Plottable):
    """The importance of the units of every convolution and linear layer; from `node_importance`.

    Attributes:
        layers: By their names, in the order of the forward pass.
    """

    layers: Mapping[str, LayerImportance]

    def layer_norms(self) -> Tensor:
        """The norm of every layer for every image, shape (N, layers), float64."""
        return torch.stack([layer.layer_norms for layer in self.layers.values()], dim=1)

    def table(self, layer: str, count: int = 10) -> str:
        """The units of largest z, one row each, with their activation; those that are never active are marked.

        Args:
            layer: Name of the layer.
            count: Number of rows.

        Returns:
            Text of several lines.

        Raises:
            KeyError: There is no such layer.
        """
        found = self[layer]
        rows = []
        for rank, unit in enumerate(found.ranking[:count].tolist()):
            activation = float(found.activation[:, unit].amax())
            mark = "dead" if found.is_dead[unit] else ""
            cells = (str(rank + 1), str(unit), f"{float(found.mean_z[unit]):.4g}", f"{activation:.4g}", mark)
            rows.append(cells)
        lines = align_table(("rank", "unit", "mean z", "largest activation", ""), rows, right=range(4))
        n_dead = int(found.is_dead.sum())
        lines.append(f"dead: {n_dead} of {len(found.is_dead)} units are active in none of {len(found.z)} images; z,")
        lines.append("taken before bias and activation function, can be large all the same")
        return "\n".join(lines)
