"""The batch over ranks and restarts: groups of components stacked along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lightning_factorlens.linalg.packing import diagonal_blocks, packed_groups


@dataclass(frozen=True)
class ComponentGroups:
    """Sizes of the groups whose components are stacked along dimension 0 of F and W."""

    sizes: tuple[int, ...]

    @property
    def slices(self) -> list[slice]:
        """Rows of each group."""
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        return [slice(a, b) for a, b in zip([0, *ends], ends)]

    def __len__(self) -> int:
        return len(self.sizes)

    def split(self, stacked: Tensor) -> list[Tensor]:
        """Views of each group's rows."""
        return list(stacked.split(self.sizes))

    def bundles(self) -> list[tuple[slice, tuple[int, int]]]:
        """Runs of groups of one size: their rows, and (how many, their size)."""
        runs: list[tuple[slice, tuple[int, int]]] = []
        for rows, size in zip(self.slices, self.sizes):
            if runs and runs[-1][1][1] == size:
                before, (count, _) = runs.pop()
                runs.append((slice(before.start, rows.stop), (count + 1, size)))
            else:
                runs.append((rows, (1, size)))
        return runs

    def grams(self, stacked: Tensor) -> list[Tensor]:
        """T Tᵀ of each group's rows; on a GPU the blocks of one product, since there calls are what costs."""
        if stacked.device.type != "cpu":
            return diagonal_blocks(stacked @ stacked.T, self.sizes)
        return [t @ t.T for t in self.split(stacked)]

    def quadratic_form(self, grams: Sequence[Tensor], stacked: Tensor) -> Tensor:
        """⟨t, (G T)_t⟩ for each row t of each group's T, shape (R,): what a fit costs beyond its linear term."""
        if stacked.device.type != "cpu":
            where = packed_groups(self.sizes, stacked.device)
            packed = where.pack(stacked)
            return where.unpack(where.grams(grams).to(packed) @ packed * packed).sum(1)
        return torch.cat([((g.to(t) @ t) * t).sum(1) for g, t in zip(grams, self.split(stacked))])

    def sums(self, per_component: Tensor) -> Tensor:
        """The sum of each group's components: shape (groups,)."""
        return torch.stack([t.sum() for t in per_component.split(self.sizes)])

    def expand(self, per_group: Tensor) -> Tensor:
        """A value a group, as a column with one entry a component: shape (R, 1)."""
        return per_group[_owners(self.sizes, per_group.device)][:, None]

    def rows(self, keep: Sequence[int]) -> Tensor:
        """Indices of the components of the groups in ``keep``."""
        slices = self.slices
        return torch.cat([torch.arange(slices[k].start, slices[k].stop) for k in keep])


@lru_cache(maxsize=64)
def _owners(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """The group of every component, made once: a table that went to a GPU at every pass would make it wait."""
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(device)
