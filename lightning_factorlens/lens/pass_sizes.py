"""How many samples a forward pass of the lens has, and whether the passes may be divided between processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_gradients import detach_output
from lightning_factorlens.capture.output_parts import find_parts, largest_change
from lightning_factorlens.lens.model_runner import ModelRunner
from lightning_factorlens.results import LayerInfo

#: Outputs change by less, relative to their norm, where samples are independent, in bfloat16 too.
INDEPENDENT = 0.02
#: They change by at most this on a CPU, where nothing is rounded to fewer bits than float32 has.
ROUNDING = 1e-4
#: Largest output of a pass on a CPU. The C library gives memory of more than 32 MiB back whenever it is freed.
MAX_OUTPUT_BYTES = 2**23
FLOAT_BYTES = 4
#: Fewest samples of a pass for each thread of torch, so that threads do not wait for each other.
MIN_THREAD_SAMPLES = 8


def keep_dependent_passes(runner: ModelRunner, probe: Probe) -> None:
    """Forbids to divide passes between processes where a sample's output depends on the others of its pass.

    So it does where a batch norm has no running statistics. A pass of four samples is compared with one of two.

    Args:
        runner: Calls the model.
        probe: The samples.
    """
    world_size = runner.process_group.world_size
    if not probe.is_cuttable or probe.unit_ends(world_size) == probe.unit_ends():
        return
    probe.pass_size.is_divisible = _change_with_pass(runner, probe) <= INDEPENDENT


def limit_passes(runner: ModelRunner, probe: Probe, layers: Sequence[LayerInfo]) -> None:
    """Makes the passes on a CPU smaller, so that their outputs get memory that has been used before.

    Larger memory is given back to the system after use, and all its pages are cleared again for the next output,
    which takes up to a quarter of the time of a pass. Nothing is changed where outputs depend on the other samples
    of a pass.

    Args:
        runner: Calls the model.
        probe: The samples.
        layers: The table of layers, whose shapes tell the size of the largest output.
    """
    if probe.device.type != "cpu" or not probe.is_cuttable or not layers:
        return
    largest = max(Size(layer.shape).numel() for layer in layers)
    n_samples = max(MAX_OUTPUT_BYTES // (FLOAT_BYTES * largest), MIN_THREAD_SAMPLES * torch.get_num_threads())
    n_samples -= n_samples % 2  # perturbed copies of the probe treat even and odd samples differently
    if n_samples >= min(probe.pass_size.unit, len(probe)):
        return
    if runner.needs.whole_passes is None:
        runner.needs.whole_passes = _change_with_pass(runner, probe) > ROUNDING
    if not runner.needs.whole_passes:
        probe.pass_size.limit(n_samples)


def _change_with_pass(runner: ModelRunner, probe: Probe) -> float:
    """How much outputs change where a pass has two samples instead of four; the same in all processes."""
    outputs = []
    for n_samples in (4, 2):
        batch = probe.part(0, n_samples)
        with runner.isolated():
            outputs.append(find_parts(detach_output(runner.call(batch.data)), len(batch)))
    return -runner.process_group.all_reduce_min([-largest_change(*outputs)])[0]
