"""The coupled problem on another device than that of its blocks, which may not fit into the device's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization.block_weights import Weighting
from lightning_factorlens.factorization.prepare import prepare_blocks
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.results import Block


class StreamedProblem(CoupledProblem):
    """A `CoupledProblem` whose blocks stay on their device, while some thousand features at a time are copied.

    An iteration over all rows copies each feature once; the sampled rows, on which a fit iterates, are copied once and
    kept. Besides them the other device needs memory for one chunk, W̃, and sums of the size of F.

    Args:
        blocks: See `CoupledProblem`.
        weighting: See `CoupledProblem`.
        device: Device of the products and of the results.
        partition: See `CoupledProblem`.

    Raises:
        ValueError: See `CoupledProblem`.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        weighting: Weighting,
        device: torch.device | str,
        partition: Partition | None = None,
    ) -> None:
        blocks = prepare_blocks(blocks)
        dtype = blocks[0].samples.dtype if blocks else None
        self._prototype = torch.empty(0, dtype=dtype, device=device)
        super().__init__(blocks, weighting, partition)

    @property
    def prototype(self) -> Tensor:
        """An empty tensor of the blocks' dtype on the device of the products."""
        return self._prototype

    def _local_row_norms(self) -> list[Tensor]:
        """Computes the norms on the blocks' device, so that only they are copied."""
        return [norms.to(self.prototype.device) for norms in super()._local_row_norms()]

    def chunks(self, whole: bool = False) -> Iterator[tuple[int, slice, Tensor]]:
        """Iterates over some thousand features at a time, even if whole blocks are permitted."""
        for b, columns, samples in super().chunks():
            yield b, columns, samples.to(self.prototype.device)
