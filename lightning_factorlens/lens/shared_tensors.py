"""The tensors that several measurements read, and the check that none of these has overwritten them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from lightning_factorlens._private_api.tensors import tensor_version
from lightning_factorlens.measurements import Context


@contextmanager
def unchanged_tensors(context: Context, measurement: str) -> Iterator[None]:
    """Checks at the end of the block that a measurement has not overwritten what others read.

    Args:
        context: What the measurements read.
        measurement: Name of the measurement that is made inside.

    Raises:
        RuntimeError: It has written to a tensor; the message names it.
    """
    shared = dict(_shared_tensors(context))
    versions = {name: tensor_version(tensor) for name, tensor in shared.items()}
    yield
    for name, tensor in shared.items():
        if tensor_version(tensor) != versions[name]:
            raise RuntimeError(
                f"measurements: {measurement!r} has overwritten {name}, which other measurements and later "
                "observations read; let it change a copy, see torch.Tensor.clone."
            )


def _shared_tensors(context: Context) -> Iterator[tuple[str, Tensor]]:
    """What several measurements read, by name."""
    intermediates = context.intermediates
    yield "context.probe.inputs", context.probe.inputs
    if intermediates.capture is not None:
        if intermediates.capture.outputs is not None:
            yield "context.capture.outputs", intermediates.capture.outputs
        for block in intermediates.capture.layers:
            yield f"the samples of {block.name!r} in context.capture", block.samples
    if intermediates.factorization is not None:
        result = intermediates.factorization
        for rank, F, factors in zip(result.ranks, result.F, result.W):
            yield f"F of rank {rank} in context.factorization", F
            for name, W in zip(result.block_names, factors):
                yield f"W of rank {rank} and {name!r} in context.factorization", W
