"""One look shared by several processes: each sends some samples through the model, then keeps some features of all.

The samples are dealt in whole batches of `BATCH`, so that every batch is the one that a single process would have made
and is answered the same, bit for bit. Then each layer's answers are swapped: a process gives away the features of its
samples that others keep, and receives those it keeps of their samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.capture.activations import BATCH, Capture, apply_sign_policies
from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.signs import ELEMENTWISE, SignPolicy, apply_sign_policy
from lightning_factorlens.distributed import SingleProcess, assign_greedy, ends_to_slices, split_blocks, split_evenly
from lightning_factorlens.results import Block, LayerInfo

Ask = Callable[[Batch, Iterable[LayerInfo]], Capture]


def capture_distributed(
    team: SingleProcess, ask: Ask, probe: Batch, choices: Sequence[LayerInfo], unit: int
) -> Capture:
    """`ask`, its work shared.

    Args:
        team: The processes; all hold the same model, probe and choices.
        ask: Sends a batch through the model and keeps the chosen outputs.
        probe: N samples.
        choices: From `choose_layers`.
        unit: Features of a layer that one process keeps together.

    Returns:
        Blocks with this process's features of all samples (see `Block.ends`), and all outputs.
    """
    if team.world_size == 1:
        return ask(probe, choices)
    dealt = split_evenly(len(probe), team.world_size, BATCH)
    mine, counts = dealt[team.rank], [d.stop - d.start for d in dealt]
    n = counts[team.rank]
    answer = ask(probe[mine] if n else probe[:1], choices)  # without samples of its own, it learns what the layers are
    layers, logits = answer.layers, None if answer.outputs is None else answer.outputs[:n]
    ends = split_blocks([block.samples.shape[1] for block in layers], team.world_size, unit)
    for i in sorted(range(len(layers)), key=lambda i: ends[i][-1]):  # the largest come when most has been set free
        layers[i] = _swapped(team, replace(layers[i], samples=layers[i].samples[:n], rank_ends=ends[i]), counts)
    widths = team.all_gather_object(None if logits is None else logits.shape[1])
    if logits is None or len(set(widths)) > 1:
        return Capture(layers, None)
    K = logits.shape[1]
    return Capture(layers, torch.cat(team.all_gather(logits.flatten(), [K * count for count in counts])).view(-1, K))


def _swapped(team: SingleProcess, block: Block, counts: Sequence[int]) -> Block:
    """From all features of this process's samples to this process's features of all samples."""
    n, dealt = len(block.samples), ends_to_slices(block.rank_ends or ())
    widths = [d.stop - d.start for d in dealt]
    width = widths[team.rank]
    parts = [block.samples[:, d].flatten() for d in dealt if d.stop > d.start]
    sent = parts[0] if len(parts) == 1 else torch.cat(parts)  # a layer that one process keeps is not copied
    taken = team.all_to_all(sent, [n * w for w in widths], [count * width for count in counts])
    return replace(block, samples=taken.view(sum(counts), width))


def forward_distributed(team: SingleProcess, ask: Ask, probes: Sequence[Batch], outputs: Tensor) -> list[Tensor]:
    """The model's outputs for changed copies of the probe, the batches dealt to those who had the fewest before.

    Args:
        team: As in `ask_together`.
        ask: As there.
        probes: Each of N samples.
        outputs: For the probe itself, shape (N, K).

    Returns:
        Of every copy that has them, shape (N, K).
    """
    if team.world_size == 1:
        return [logits for logits in (ask(probe, ()).outputs for probe in probes) if logits is not None]
    N, K = outputs.shape
    loads = [float(d.stop - d.start) for d in split_evenly(N, team.world_size, BATCH)]
    tasks = [(probe, slice(a, min(N, a + BATCH))) for probe in probes for a in range(0, N, BATCH)]
    who = assign_greedy([rows.stop - rows.start for _, rows in tasks], loads)
    own = [_outputs(ask, probe[rows], K) for p, (probe, rows) in zip(who, tasks) if p == team.rank]
    sizes = [K * (rows.stop - rows.start) for _, rows in tasks]
    lengths = [sum(size for p, size in zip(who, sizes) if p == place) for place in range(team.world_size)]
    found = team.all_gather(torch.cat([outputs.new_empty(0), *own]), lengths)
    parts = [iter(f.split([size for p, size in zip(who, sizes) if p == place])) for place, f in enumerate(found)]
    return list(torch.cat([next(parts[p]) for p in who]).view(len(probes), N, K))


def _outputs(ask: Ask, batch: Batch, K: int) -> Tensor:
    logits = ask(batch, ()).outputs
    if logits is None or logits.shape[1] != K:
        raise RuntimeError("the form of the model's outputs depends on the data: some have no (N, K) numbers.")
    return logits.flatten()


def apply_sign_policies_distributed(
    team: SingleProcess,
    inputs: Sequence[Block],
    layers: Sequence[Block],
    on_inputs: SignPolicy,
    on_layers: SignPolicy,
    unit: int,
) -> list[Block]:
    """The blocks after the sign policies of their kind: of every block this process's share.

    Args:
        team: As in `ask_together`.
        inputs: Whole blocks, the same in all processes.
        layers: From `ask_together`.
        on_inputs: What becomes of inputs below zero.
        on_layers: The same for layers; one that is not of this package is handed whole layers.
        unit: As in `ask_together`.
    """
    if team.world_size == 1:
        return apply_sign_policies([*inputs, *layers], on_inputs, on_layers)
    found = _own(team, [out for block in inputs for out in apply_sign_policy(block, on_inputs)], unit)
    lowest = team.all_reduce_min(
        [float(block.samples.min()) if block.samples.numel() else torch.inf for block in layers]
    )
    for block, low in zip(layers, lowest):
        if low >= 0 or isinstance(on_layers, ELEMENTWISE):
            found += apply_sign_policy(block, on_layers, low)
        else:
            N, dealt = len(block.samples), ends_to_slices(block.rank_ends or ())
            parts = team.all_gather(block.samples.flatten(), [N * (d.stop - d.start) for d in dealt])
            samples = torch.cat([part.view(N, len(part) // N) for part in parts], 1)
            found += _own(team, apply_sign_policy(replace(block, samples=samples, rank_ends=None), on_layers), unit)
    return found


def _own(team: SingleProcess, blocks: Sequence[Block], unit: int) -> list[Block]:
    """This process's columns of whole blocks."""
    dealt = split_blocks([block.samples.shape[1] for block in blocks], team.world_size, unit)
    own = [ends_to_slices(ends)[team.rank] for ends in dealt]
    return [replace(b, samples=b.samples[:, c].contiguous(), rank_ends=ends) for b, c, ends in zip(blocks, own, dealt)]
