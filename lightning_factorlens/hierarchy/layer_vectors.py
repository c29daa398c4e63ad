"""Singular vectors of the layers of a model, kept as long as their weights do not change."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def s(self) -> Tensor:
        """Singular values, shape (r,), float64, on the CPU."""
        return self.all.s[self.is_kept].cpu()

    @cached_property
    def group(self) -> Tensor:
        """The group of each vector, shape (r,), int64, on the CPU."""
        return self.is_kept.nonzero()[:, 0].cpu()

    @cached_property
    def subspace(self) -> Tensor:
        """A number for each set of equal singular values of one group, shape (r,), int64, ascending from 0."""
        groups = torch.arange(len(self.is_kept), device=self.is_kept.device)
        labels = self.all.subspace + self.is_kept.shape[1] * groups[:, None]
        return labels[self.is_kept].unique(return_inverse=True)[1].cpu()

    @cached_property
    def _keeps_all(self) -> bool:
        return bool(self.is_kept.all())

    @cached_property
    def _Ut32(self) -> Tensor:
        """Uᵀ in float32."""
        return self.all.U.mT.float()

    def of_outputs(self, outputs: Tensor) -> Tensor:
        """Uᵀ of outputs without bias.

        Args:
            outputs: Shape (n, d, positions), float32 or float64, on any device.

        Returns:
            Shape (n, r, positions).
        """
        Ut = self._Ut32 if outputs.dtype == torch.float32 else self.all.U.mT
        projected = _apply(Ut, outputs)
        return projected.flatten(1, 2) if self._keeps_all else projected[:, self.is_kept.to(outputs.device)]

    def of_fields(self, fields: Tensor) -> Tensor:
        """S Vᵀ of receptive fields, computed as Uᵀ W.

        Args:
            fields: Shape (n, groups·c/groups·∏k, positions), float32 or float64, on any device.

        Returns:
            Shape (n, r, positions).
        """
        return self.of_outputs(_apply(self.all.matrix, fields).flatten(1, 2))

    def of_unscaled_fields(self, fields: Tensor) -> Tensor:
        """Vᵀ of receptive fields, as S⁻¹ Uᵀ W in float64, since small singular values enlarge errors of rounding.

        Args:
            fields: As for `of_fields`.

        Returns:
            Shape (n, r, positions), in the precision of ``fields``.
        """
        s = self.all.s[self.is_kept]
        return (self.of_fields(fields.to(s)) / s[:, None]).to(fields)


def _apply(maps: Tensor, values: Tensor) -> Tensor:
    """Applies one matrix to the channels of each group.

    Args:
        maps: Shape (groups, rows, channels of a group).
        values: Shape (n, groups · channels of a group, positions).

    Returns:
        Shape (n, groups, rows, positions).
    """
    n, _, n_positions = values.shape
    if n_positions == 1:  # the rows of the product then lie in memory as those of the values
        rows = values.reshape(n, len(maps), -1).transpose(0, 1)
        return (rows @ maps.mT.to(values)).transpose(0, 1)[..., None]
    by_group = values.reshape(n, len(maps), -1, n_positions).permute(1, 2, 0, 3).flatten(2)
    return (maps.to(values) @ by_group).unflatten(2, (n, n_positions)).permute(2, 0, 1, 3)


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
        if matrix.device.type == "mps":  # which has no float64
            matrix = matrix.cpu()
        found = self._entries.get(layer.name)
        if found is None or not _is_equal(found.all.matrix, matrix):
            computed = singular_vectors(matrix)
            found = LayerVectors(computed, computed.s > computed.tolerance[:, None])
            self._entries[layer.name] = found
        return found


def _is_equal(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.device == second.device and torch.equal(first, second)
