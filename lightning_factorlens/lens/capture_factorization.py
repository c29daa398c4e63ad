"""The factorisation of an observation: inputs and activations made non-negative, and fitted at all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.capture.distributed import apply_sign_policies_distributed
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.signs import resolve_sign_policy
from lightning_factorlens.distributed import Partition
from lightning_factorlens.factorization import fit, make_problem
from lightning_factorlens.lens.phase_timer import PhaseTimer
from lightning_factorlens.linalg.threads import limit_threads
from lightning_factorlens.measurements import Context
from lightning_factorlens.results import Block


def factorize_capture(
    context: Context, capture: Capture, partition: Partition, last_F: Sequence[Tensor] | None, timer: PhaseTimer
) -> int:
    """Factorises inputs and activations, and keeps the problem and its solution as intermediate results.

    Args:
        context: What the measurements read.
        capture: The activations.
        partition: Which features of them this process holds.
        last_F: The sample factors of the last observation, one for each rank; None where there are none.
        timer: Times the phase.

    Returns:
        The number of entries that this process holds.
    """
    options = context.options
    with timer("factorization"):
        blocks, partition = _non_negative_blocks(context, capture, partition)
    n_entries = sum(block.samples.numel() for block in blocks)
    with limit_threads(n_entries), timer("factorization"):
        start = _warm_factors(last_F, options.ranks, len(context.probe))
        problem = make_problem(blocks, options.weighting, partition, options.solver, warm=start is not None)
        result = fit(problem, options.ranks, solver=options.solver, start=start, seed=options.seed)
    context.intermediates.problem = problem
    context.intermediates.factorization = result
    return n_entries


def _non_negative_blocks(context: Context, capture: Capture, partition: Partition) -> tuple[list[Block], Partition]:
    """Inputs and activations, non-negative, on one device."""
    options = context.options
    inputs = input_blocks(context.probe.inputs, options.max_neurons_per_layer, options.seed)
    blocks, partition = apply_sign_policies_distributed(
        partition,
        inputs,
        capture.layers,
        resolve_sign_policy("input_sign_policy", options.input_sign_policy),
        resolve_sign_policy("activation_sign_policy", options.activation_sign_policy),
    )
    target = blocks[-1].samples
    device = "cpu" if target.device.type == "mps" else target.device  # that backend has no float64
    converted = []
    for block in blocks:
        converted.append(replace(block, samples=block.samples.to(device, target.dtype)))
    return converted, partition


def _warm_factors(last_F: Sequence[Tensor] | None, ranks: Sequence[int], n_samples: int) -> Sequence[Tensor] | None:
    """The last factors, where they belong to these ranks and to as many samples."""
    if last_F is None:
        return None
    shapes = []
    for factor in last_F:
        shapes.append(tuple(factor.shape))
    expected = [(rank, n_samples) for rank in ranks]
    if shapes != expected:
        return None
    return last_F
