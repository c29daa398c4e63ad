"""Singular vectors of the layers of a model, kept as long as their weights do not change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.capture.linear_layers import LinearLayer
from lightning_factorlens.linalg.singular_vectors import SingularVectors, singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight


@dataclass(frozen=True, eq=False)
class LayerVectors:
    """The singular vectors of a layer whose singular values are not zero, group by group.

    Attributes:
        all: All vectors, by group.
        is_kept: Which singular values are not zero, shape (groups, vectors of a group).
    """

    all: SingularVectors
    is_kept: Tensor

    @property
    def s(self) -> Tensor:
        """Singular values, shape (r,), float64, on the CPU."""
        return self.all.s[self.is_kept].cpu()

    @property
    def group(self) -> Tensor:
        """The group of each vector, shape (r,), int64, on the CPU."""
        return self.is_kept.nonzero()[:, 0].cpu()

    @property
    def subspace(self) -> Tensor:
        """A number for each set of equal singular values of one group, shape (r,), int64, ascending from 0."""
        groups = torch.arange(len(self.is_kept), device=self.is_kept.device)
        labels = self.all.subspace + self.is_kept.shape[1] * groups[:, None]
        return labels[self.is_kept].unique(return_inverse=True)[1].cpu()

    def of_outputs(self, outputs: Tensor) -> Tensor:
        """Uᵀ of outputs without bias.

        Args:
            outputs: Shape (n, d, positions), float32 or float64, on any device.

        Returns:
            Shape (n, r, positions).
        """
        return self._apply(self.all.U.mT, outputs)

    def of_fields(self, fields: Tensor) -> Tensor:
        """S Vᵀ of receptive fields, computed as Uᵀ W.

        Args:
            fields: Shape (n, groups·c/groups·∏k, positions), float32 or float64, on any device.

        Returns:
            Shape (n, r, positions).
        """
        return self._apply(self.all.U.mT @ self.all.matrix.double(), fields)

    def of_unscaled_fields(self, fields: Tensor) -> Tensor:
        """Vᵀ of receptive fields; see `of_fields`."""
        return self._apply(self.all.Vt, fields)

    def _apply(self, maps: Tensor, values: Tensor) -> Tensor:
        """One matrix for each group, shape (groups, vectors, channels), applied to the channels of the group."""
        n, _, n_positions = values.shape
        by_group = values.reshape(n, len(maps), -1, n_positions).permute(1, 2, 0, 3).flatten(2)
        products = (maps.to(values) @ by_group).unflatten(2, (n, n_positions))
        return products[self.is_kept.to(values.device)].transpose(0, 1)


class VectorCache:
    """Keeps the singular vectors of each layer as long as its weight is equal bit for bit.

    The weight is compared with the copy that its singular vectors hold: neither its address nor PyTorch's version
    counter tells whether it has changed.

    Example:
        >>> from lightning_factorlens.capture.linear_layers import linear_layers
        >>> (layer,) = linear_layers(torch.nn.Linear(3, 2))
        >>> cache = VectorCache()
        >>> cache.vectors(layer) is cache.vectors(layer)
        True
    """

    def __init__(self) -> None:
        self._entries: dict[str, LayerVectors] = {}

    @torch.no_grad()
    def vectors(self, layer: LinearLayer) -> LayerVectors:
        """The singular vectors of a layer, computed anew if its weight has changed."""
        weight = layer.weight
        matrix = unfold_weight(weight.weight, groups=weight.groups, transposed=weight.transposed)
        found = self._entries.get(layer.name)
        if found is None or not _is_equal(found.all.matrix, matrix):
            computed = singular_vectors(matrix)
            found = LayerVectors(computed, computed.s > computed.tolerance[:, None])
            self._entries[layer.name] = found
        return found


def _is_equal(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.device == second.device and torch.equal(first, second)
