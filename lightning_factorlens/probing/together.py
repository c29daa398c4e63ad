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

from lightning_factorlens.probing.batch import Batch
from lightning_factorlens.probing.probe import BATCH, Answer, settled
from lightning_factorlens.probing.signs import ELEMENTWISE, SignPolicy, settle_signs
from lightning_factorlens.teamwork import Team, between, deal, lines, shares
from lightning_factorlens.types import Block, LayerChoice

Ask = Callable[[Batch, Iterable[LayerChoice]], Answer]


def ask_together(team: Team, ask: Ask, probe: Batch, choices: Sequence[LayerChoice], unit: int) -> Answer:
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
    if team.size == 1:
        return ask(probe, choices)
    dealt = shares(len(probe), team.size, BATCH)
    mine, counts = dealt[team.place], [d.stop - d.start for d in dealt]
    n = counts[team.place]
    answer = ask(probe[mine] if n else probe[:1], choices)  # without samples of its own, it learns what the layers are
    layers, logits = answer.layers, None if answer.logits is None else answer.logits[:n]
    ends = lines([block.samples.shape[1] for block in layers], team.size, unit)
    for i in sorted(range(len(layers)), key=lambda i: ends[i][-1]):  # the largest come when most has been set free
        layers[i] = _swapped(team, replace(layers[i], samples=layers[i].samples[:n], ends=ends[i]), counts)
    widths = team.everyone(None if logits is None else logits.shape[1])
    if logits is None or len(set(widths)) > 1:
        return Answer(layers, None)
    K = logits.shape[1]
    return Answer(layers, torch.cat(team.gather(logits.flatten(), [K * count for count in counts])).view(-1, K))


def _swapped(team: Team, block: Block, counts: Sequence[int]) -> Block:
    """From all features of this process's samples to this process's features of all samples."""
    n, dealt = len(block.samples), between(block.ends or ())
    widths = [d.stop - d.start for d in dealt]
    width = widths[team.place]
    parts = [block.samples[:, d].flatten() for d in dealt if d.stop > d.start]
    sent = parts[0] if len(parts) == 1 else torch.cat(parts)  # a layer that one process keeps is not copied
    taken = team.swap(sent, [n * w for w in widths], [count * width for count in counts])
    return replace(block, samples=taken.view(sum(counts), width))


def outputs_together(team: Team, ask: Ask, probes: Sequence[Batch], outputs: Tensor) -> list[Tensor]:
    """The model's outputs for changed copies of the probe, the batches dealt to those who had the fewest before.

    Args:
        team: As in `ask_together`.
        ask: As there.
        probes: Each of N samples.
        outputs: For the probe itself, shape (N, K).

    Returns:
        Of every copy that has them, shape (N, K).
    """
    if team.size == 1:
        return [logits for logits in (ask(probe, ()).logits for probe in probes) if logits is not None]
    N, K = outputs.shape
    loads = [float(d.stop - d.start) for d in shares(N, team.size, BATCH)]
    tasks = [(probe, slice(a, min(N, a + BATCH))) for probe in probes for a in range(0, N, BATCH)]
    who = deal([rows.stop - rows.start for _, rows in tasks], loads)
    own = [_outputs(ask, probe[rows], K) for p, (probe, rows) in zip(who, tasks) if p == team.place]
    sizes = [K * (rows.stop - rows.start) for _, rows in tasks]
    lengths = [sum(size for p, size in zip(who, sizes) if p == place) for place in range(team.size)]
    found = team.gather(torch.cat([outputs.new_empty(0), *own]), lengths)
    parts = [iter(f.split([size for p, size in zip(who, sizes) if p == place])) for place, f in enumerate(found)]
    return list(torch.cat([next(parts[p]) for p in who]).view(len(probes), N, K))


def _outputs(ask: Ask, batch: Batch, K: int) -> Tensor:
    logits = ask(batch, ()).logits
    if logits is None or logits.shape[1] != K:
        raise RuntimeError("the form of the model's outputs depends on the data: some have no (N, K) numbers.")
    return logits.flatten()


def settled_together(
    team: Team,
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
    if team.size == 1:
        return settled([*inputs, *layers], on_inputs, on_layers)
    found = _own(team, [out for block in inputs for out in settle_signs(block, on_inputs)], unit)
    lowest = team.smallest([float(block.samples.min()) if block.samples.numel() else torch.inf for block in layers])
    for block, low in zip(layers, lowest):
        if low >= 0 or isinstance(on_layers, ELEMENTWISE):
            found += settle_signs(block, on_layers, low)
        else:
            N, dealt = len(block.samples), between(block.ends or ())
            parts = team.gather(block.samples.flatten(), [N * (d.stop - d.start) for d in dealt])
            samples = torch.cat([part.view(N, len(part) // N) for part in parts], 1)
            found += _own(team, settle_signs(replace(block, samples=samples, ends=None), on_layers), unit)
    return found


def _own(team: Team, blocks: Sequence[Block], unit: int) -> list[Block]:
    """This process's columns of whole blocks."""
    dealt = lines([block.samples.shape[1] for block in blocks], team.size, unit)
    own = [between(ends)[team.place] for ends in dealt]
    return [replace(b, samples=b.samples[:, c].contiguous(), ends=ends) for b, c, ends in zip(blocks, own, dealt)]
