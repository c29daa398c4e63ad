"""The coupled problem computed elsewhere than where its blocks lie, which may be more than fits there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.problem import CoupledProblem, Weighting
from lightning_factorlens.results import Block


class StreamedProblem(CoupledProblem):
    """`CoupledProblem` whose blocks stay on their device and travel some thousand features at a time to another.

    A pass over all rows reads each feature once; what a fit iterates on, the sampled rows, goes over for good. Beside
    them the other device holds one chunk, W̃ and sums of the size of F.

    Args:
        blocks: As in `CoupledProblem`.
        weighting: As in `CoupledProblem`.
        device: Where products are formed, and where the results are.

    Raises:
        ValueError: As `CoupledProblem`.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        weighting: Weighting,
        device: torch.device | str,
        partition: Partition | None = None,
    ) -> None:
        self._like = torch.empty(0, dtype=blocks[0].samples.dtype if blocks else None, device=device)
        super().__init__(blocks, weighting, partition)

    @property
    def prototype(self) -> Tensor:
        """An empty tensor of the blocks' dtype on the device of the products."""
        return self._like

    def _local_row_norms(self) -> list[Tensor]:
        """Taken where the blocks are: they are read once more, but only their norms travel."""
        return [norms.to(self.prototype.device) for norms in super()._local_row_norms()]

    def chunks(self, whole: bool = False) -> Iterator[tuple[int, slice, Tensor]]:
        """Some thousand features at a time, also where whole blocks would be allowed."""
        for b, c, samples in super().chunks():
            yield b, c, samples.to(self.prototype.device)
