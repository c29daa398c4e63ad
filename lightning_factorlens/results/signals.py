"""Signals of a layer's singular vectors for the images of a probe."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr


@dataclass(frozen=True, eq=False, repr=False)
class Signals(ShortRepr):
    """How strongly every image excites the singular vectors of a layer.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN
    interpretability framework", section 4.3: the signal of image X along vector i is the mean over positions of
    s_i ⟨v_i, receptive field⟩. Only vectors whose singular value is not zero are listed. The vectors of a layer with
    groups follow one another, group by group. All tensors are on the CPU.

    Attributes:
        layer: Name of the layer.
        values: Mean over positions, shape (N, r), float32.
        s: Singular values, shape (r,), float64, descending within each group.
        group: The group of each vector, shape (r,), int64.
        maxima: Maximum over positions, shape (N, r), float32; None where it was not asked for.
        minima: Minimum over positions, as `maxima`.
        subspace: A number for each set of equal singular values of one group, shape (r,), int64, ascending from 0;
            None for distinct singular values.
    """

    layer: str
    values: Tensor
    s: Tensor
    group: Tensor
    maxima: Tensor | None = None
    minima: Tensor | None = None
    subspace: Tensor | None = None

    @property
    def is_determined(self) -> Tensor:
        """Whether a vector is determined up to its sign, shape (r,); others can be rotated within their subspace."""
        if self.subspace is None:
            return torch.ones_like(self.group, dtype=torch.bool)
        return torch.bincount(self.subspace)[self.subspace] == 1

    def subspace_norms(self) -> Tensor:
        """Norm of each image's signals within every subspace of equal singular values, which no rotation changes.

        Returns:
            Shape (N, subspaces), float32.

        Example:
            >>> signals = Signals("fc", torch.tensor([[3.0, 4.0, 1.0]]), torch.tensor([2.0, 2.0, 1.0]), torch.zeros(3),
            ...                   subspace=torch.tensor([0, 0, 1]))
            >>> signals.subspace_norms().tolist()
            [[5.0, 1.0]]
        """
        if self.subspace is None:
            return self.values.abs()
        squares = self.values.new_zeros(len(self.values), int(self.subspace.max()) + 1)
        return squares.index_add_(1, self.subspace, self.values.square()).sqrt()


class ProbeSignals(dict[str, Signals]):
    """Signals by layer, in the order of the model's modules.

    Attributes:
        skipped: Why a layer has none, by its name.
    """

    def __init__(self, signals: dict[str, Signals], skipped: dict[str, str]) -> None:
        super().__init__(signals)
        self.skipped = skipped

    def __missing__(self, layer: str) -> Signals:
        if layer in self.skipped:
            raise KeyError(f"layer {layer!r} has no signals: {self.skipped[layer]}")
        raise KeyError(f"no layer {layer!r}; the layers are {', '.join(map(repr, self))}")
