"""Capture of one observation by several processes.

Each process passes some samples through the model; then the processes exchange activations, so that each of them holds
some features of every layer for all samples. The samples are assigned in whole passes (`Probe.unit_ends`), so that
every pass is the one that a single process would have made, and its activations are equal bit for bit. Where there are
more processes than passes, the passes are divided, if the batches can be and samples do not depend on each other
(`lens.pass_sizes.keep_dependent_passes`): activations and curves then differ by rounding, by at most about 1e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.capture.signs import ELEMENTWISE, SignPolicy, apply_sign_policy
from lightning_factorlens.distributed import (
    Partition,
    SingleProcess,
    assign_greedy,
    ends_to_slices,
    make_partition,
    map_distributed,
    split_units,
)
from lightning_factorlens.results import Block, LayerInfo

#: Passes some samples through the model and captures the selected ones of the layers.
CaptureFn = Callable[[Probe, Iterable[LayerInfo]], Capture]


def capture_distributed(
    process_group: SingleProcess, capture: CaptureFn, probe: Probe, layers: Sequence[LayerInfo]
) -> tuple[Capture, Partition]:
    """Captures the probe's activations and outputs, the samples divided between the processes.

    Args:
        process_group: The processes; all hold the same model, probe and layers.
        capture: Passes some samples through the model.
        probe: N samples.
        layers: From `select_layers`; the selected ones are captured.

    Returns:
        Blocks with this process's features of all N samples, with the outputs of all samples; and the partition of
        these blocks.
    """
    partition = make_partition(process_group, probe.unit_ends(process_group.world_size))
    captured = capture(partition.local_samples(probe), layers)
    blocks = captured.layers
    feature_counts = _feature_counts(blocks)
    partition = partition.split_features(feature_counts)
    whole = [block.samples for block in blocks]
    for b, block in enumerate(blocks):  # without a reference to the whole samples, whose memory `exchange` releases
        blocks[b] = replace(block, samples=block.samples.new_empty(0, feature_counts[b]))
    for b, samples in enumerate(partition.exchange(whole)):
        blocks[b] = replace(blocks[b], samples=samples)
    return Capture(blocks, partition.gather_samples(captured.outputs)), partition


@dataclass(frozen=True)
class _ForwardTask:
    """Some rows of one copy of the probe, and the rank of the process that passes them through the model."""

    copy: int
    rows: slice
    owner: int

    @property
    def n_rows(self) -> int:
        return self.rows.stop - self.rows.start


def forward_distributed(
    process_group: SingleProcess, capture: CaptureFn, probes: Sequence[Probe], outputs: Tensor
) -> list[Tensor]:
    """Computes the model's outputs for modified copies of the probe, the batches divided between the processes.

    Args:
        process_group: The processes; all hold the same model, probes and outputs.
        capture: Passes some samples through the model.
        probes: Copies of the probe, each of N samples.
        outputs: Outputs for the probe itself, shape (N, K).

    Returns:
        Shape (N, K) for each copy; a copy for which the model does not return (N, K) numbers is left out.
    """
    K = outputs.shape[1]

    def run(own_tasks: Sequence[_ForwardTask]) -> list[Tensor | None]:
        own_outputs: list[Tensor | None] = []
        for task in own_tasks:
            found = capture(probes[task.copy][task.rows], ()).outputs
            if found is None or found.shape[1] != K:
                own_outputs.append(None)
            else:
                own_outputs.append(found.cpu().clone())  # of a view all memory would be sent
        return own_outputs

    tasks = _forward_tasks(process_group, len(probes), probes[0].unit_ends(process_group.world_size))
    found = map_distributed(process_group, run, tasks, [task.owner for task in tasks])
    copies = []
    for copy in range(len(probes)):
        parts = [part for task, part in zip(tasks, found) if task.copy == copy and part is not None]
        if sum(map(len, parts)) == len(outputs):
            copies.append(torch.cat(parts).to(outputs.device))
    return copies


def _forward_tasks(process_group: SingleProcess, n_copies: int, unit_ends: Sequence[int]) -> list[_ForwardTask]:
    """Assigns the passes of all copies to the processes that passed the fewest samples of the probe itself.

    Consecutive passes of one copy with one owner are one task: the capture divides them into the same passes again.
    """
    n_batches = len(unit_ends)
    batches = ends_to_slices(unit_ends) * n_copies
    own_samples = split_units(unit_ends, process_group.world_size)
    owners = assign_greedy(_lengths(batches), _lengths(own_samples))
    tasks: list[_ForwardTask] = []
    for index, (rows, owner) in enumerate(zip(batches, owners)):
        copy = index // n_batches
        if tasks and tasks[-1].copy == copy and tasks[-1].owner == owner:
            rows = slice(tasks.pop().rows.start, rows.stop)
        tasks.append(_ForwardTask(copy, rows, owner))
    return tasks


def apply_sign_policies_distributed(
    partition: Partition,
    inputs: Sequence[Block],
    layers: Sequence[Block],
    input_policy: SignPolicy,
    layer_policy: SignPolicy,
) -> tuple[list[Block], Partition]:
    """Applies the sign policies to the blocks of a partition.

    Args:
        partition: The partition of ``layers``, from `capture_distributed`.
        inputs: Blocks with all features, the same in all processes.
        layers: Blocks with this process's features, from `capture_distributed`.
        input_policy: Applied to the inputs.
        layer_policy: Applied to the layers; a policy that is not in `ELEMENTWISE` receives blocks with all features.

    Returns:
        Blocks with this process's features, first the inputs, then the layers; and the partition of these blocks.
    """
    blocks: list[Block] = []
    partitions: list[Partition] = []

    def add_local_part(whole_blocks: Sequence[Block]) -> None:
        part = partition.split_features(_feature_counts(whole_blocks))
        for b, block in enumerate(whole_blocks):
            blocks.append(replace(block, samples=part.local_features(b, block.samples)))
        partitions.append(part)

    non_negative_inputs: list[Block] = []
    for block in inputs:
        non_negative_inputs += apply_sign_policy(block, input_policy)
    add_local_part(non_negative_inputs)
    minima = partition.process_group.all_reduce_min(list(map(_minimum, layers)))
    for b, (block, minimum) in enumerate(zip(layers, minima)):
        if minimum >= 0 or isinstance(layer_policy, ELEMENTWISE):
            replacements = apply_sign_policy(block, layer_policy, minimum)
            blocks += replacements
            partitions.append(partition.select_blocks([b] * len(replacements)))
        else:
            whole = replace(block, samples=partition.gather_blocks([b], [block.samples])[0])
            add_local_part(apply_sign_policy(whole, layer_policy, minimum))
    return blocks, partition.join(partitions)


def _minimum(block: Block) -> float:
    return float(block.samples.min()) if block.samples.numel() else torch.inf


def _feature_counts(blocks: Sequence[Block]) -> list[int]:
    return [block.samples.shape[1] for block in blocks]


def _lengths(slices: Sequence[slice]) -> list[int]:
    return [part.stop - part.start for part in slices]
