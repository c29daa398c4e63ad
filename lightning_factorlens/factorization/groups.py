"""The batch of a fit: groups of components, one for each rank and initialization, stacked along one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens.distributed import ends_to_slices
from lightning_factorlens.linalg.packing import diagonal_blocks, packed_groups


@dataclass(frozen=True)
class ComponentGroups:
    """The groups whose components are stacked along dimension 0 of F and W.

    Example:
        >>> groups = ComponentGroups((1, 2))
        >>> groups.sums(torch.tensor([1.0, 2.0, 3.0]))
        tensor([1., 5.])

    Attributes:
        sizes: Number of components of each group; their sum is R.
    """

    sizes: tuple[int, ...]

    @property
    def slices(self) -> list[slice]:
        """The rows of each group."""
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        return ends_to_slices(ends)

    def __len__(self) -> int:
        return len(self.sizes)

    def select(self, keep: Sequence[int]) -> ComponentGroups:
        """Returns the groups in ``keep`` alone."""
        return ComponentGroups(tuple(self.sizes[k] for k in keep))

    def split(self, stacked: Tensor) -> list[Tensor]:
        """Returns views of each group's rows."""
        return list(stacked.split(self.sizes))

    def grams(self, stacked: Tensor) -> list[Tensor]:
        """Returns T Tᵀ of each group's rows; on a GPU as blocks of one product, because launches cost most there."""
        if stacked.device.type != "cpu":
            return diagonal_blocks(stacked @ stacked.T, self.sizes)
        return [T @ T.T for T in self.split(stacked)]

    def quadratic_form(self, grams: Sequence[Tensor], stacked: Tensor) -> Tensor:
        """Returns ⟨t, (G T)_t⟩ for each row t of each group's T, shape (R,)."""
        if stacked.device.type != "cpu":
            layout = packed_groups(self.sizes, stacked.device)
            packed = layout.pack(stacked)
            return layout.unpack(layout.grams(grams).to(packed) @ packed * packed).sum(1)
        forms = []
        for gram, T in zip(grams, self.split(stacked)):
            forms.append(((gram.to(T) @ T) * T).sum(1))
        return torch.cat(forms)

    def sums(self, per_component: Tensor) -> Tensor:
        """Returns the sum of each group's components, shape (groups,)."""
        return torch.stack(list(map(torch.sum, per_component.split(self.sizes))))

    def expand(self, per_group: Tensor) -> Tensor:
        """Returns each group's value once for each of its components, shape (R, 1)."""
        return per_group[_group_of_component(self.sizes, per_group.device)][:, None]

    def rows(self, keep: Sequence[int]) -> Tensor:
        """Returns the indices of the components of the groups in ``keep``."""
        slices = self.slices
        return torch.cat([torch.arange(slices[k].start, slices[k].stop) for k in keep])


@lru_cache(maxsize=64)
def _group_of_component(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns the index of each component's group; cached, because copying it to a GPU would wait for the GPU."""
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(device)
