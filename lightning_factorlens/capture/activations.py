"""One look: the probe's images through the model, kept outputs out as blocks, logits beside them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.signs import SignPolicy, apply_sign_policy
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.results import Block, LayerInfo

#: Images a forward pass; results do not depend on it, memory does.
BATCH = 128


@dataclass(frozen=True)
class Capture:
    """What the model answered: the captured layers, and its outputs where they are (N, K) numbers."""

    layers: list[Block]
    outputs: Tensor | None


def capture_activations(
    model: nn.Module,
    forward: Callable[[Any], Any],
    probe: Tensor | Batch,
    choices: Iterable[LayerInfo],
    max_neurons_per_layer: int | None = None,
    seed: int = 0,
) -> Capture:
    """Sends the probe through the model in batches and keeps the chosen outputs.

    Args:
        model: In eval mode, see `undisturbed`.
        forward: Calls the model on what a batch holds and returns its output.
        probe: Inputs (N, …), or a batch of them and of what else the model takes.
        choices: From `choose_layers`; the kept ones are captured.
        max_neurons_per_layer: At most so many neurons a layer, drawn once for all by ``seed`` and the layer's name.
        seed: Of that draw.

    Returns:
        Blocks of float32 (float64 stays), on the model's device.

    Raises:
        RuntimeError: A kept layer did not run, or ran with another shape than in the dry pass.
    """
    kept = {c.name: _Filling(c, max_neurons_per_layer, seed) for c in choices if c.selected}
    probe, start, logits = Batch.wrap(probe), 0, []
    N = len(probe)

    def keep(call: TracedCall) -> None:
        if call.name in kept:
            kept[call.name].fill(call.output, start, N)

    with trace_calls(model, keep):
        for batch in probe.split(BATCH):
            logits.append(_logits(forward(batch.data), len(batch)))
            start += len(batch)
    layers = [filling.block(N) for filling in kept.values()]
    return Capture(layers, None if any(x is None for x in logits) else torch.cat([x for x in logits if x is not None]))


class _Filling:
    """A block that fills up batch by batch."""

    def __init__(self, choice: LayerInfo, max_neurons_per_layer: int | None, seed: int) -> None:
        self.choice = choice
        self.features = torch.Size(choice.shape).numel()
        self.index: Tensor | None = None
        self.samples: Tensor | None = None
        self.filled = 0
        if max_neurons_per_layer is not None and self.features > max_neurons_per_layer:
            generator = torch.Generator().manual_seed(seed + zlib.crc32(choice.name.encode()))
            self.index = torch.randperm(self.features, generator=generator)[:max_neurons_per_layer].sort().values

    def fill(self, output: Tensor, start: int, N: int) -> None:
        """Copies one batch's output into its rows."""
        flat = output.detach().flatten(1)
        if flat.shape[1] != self.features:
            raise RuntimeError(
                f"layer {self.choice.name!r} gave {tuple(output.shape[1:])} an image, "
                f"in the dry pass {self.choice.shape}."
            )
        if self.index is not None:
            self.index = self.index.to(flat.device)
            flat = flat[:, self.index]
        if self.samples is None:
            dtype = flat.dtype if flat.dtype == torch.float64 else torch.float32
            self.samples = flat.new_empty(N, flat.shape[1], dtype=dtype)
        self.samples[start : start + len(flat)] = flat  # copied now: the next layer may write in place
        self.filled += len(flat)

    def block(self, N: int) -> Block:
        """The filled block of all N images."""
        if self.samples is None or self.filled != N:
            raise RuntimeError(
                f"layer {self.choice.name!r} answered for {self.filled} of {N} images: "
                "the model's forward pass depends on the data."
            )
        name, shape = self.choice.name, self.choice.shape
        expansion = self.features / self.samples.shape[1]
        return Block(name, "activation", self.samples, shape, sampling_factor=expansion, kept_features=self.index)


def _logits(output: Any, n: int) -> Tensor | None:
    """The first (n, K ≥ 2) tensor of a model's output: bare, in a tuple, or in a dict, there ``"logits"`` first."""
    if isinstance(output, dict):
        output = [output[key] for key in sorted(output, key=lambda k: k != "logits")]
    for candidate in output if isinstance(output, (tuple, list)) else (output,):
        if isinstance(candidate, Tensor) and candidate.ndim == 2 and candidate.shape[0] == n and candidate.shape[1] > 1:
            return candidate.detach().float()
    return None


def input_blocks(images: Tensor, max_neurons_per_layer: int | None = None, seed: int = 0) -> list[Block]:
    """One block a channel (D_i of paper 000); a probe without channels is one block.

    Token ids, whole numbers (N, T), are names and no amounts: their block counts how often a sample has each of them.

    Args:
        images: Shape (N, C, H, W), or (N, …) for anything else.
        max_neurons_per_layer: As in `ask`.
        seed: As in `ask`.
    """
    names = not images.is_floating_point() and images.dtype not in (torch.uint8, torch.bool) and images.ndim < 4
    images = token_counts(images) if names else images
    pixels = images if images.dtype == torch.float64 else images.float()
    channels = list(pixels.unbind(1)) if pixels.ndim == 4 else [pixels]
    blocks = []
    for i, channel in enumerate(channels):
        choice = LayerInfo(f"input/{i}", "input", tuple(channel.shape[1:]), 0.0, True, "")
        filling = _Filling(choice, max_neurons_per_layer, seed)
        filling.fill(channel, 0, len(channel))
        blocks.append(replace(filling.block(len(channel)), kind="input"))
    return blocks


def token_counts(ids: Tensor) -> Tensor:
    """The term-document matrix of token ids.

    Args:
        ids: Whole numbers, shape (N, …).

    Returns:
        Shape (N, V): how often each of the V distinct ids, ascending, stands in each sample.
    """
    distinct, place = torch.unique(ids.flatten(1), return_inverse=True)
    counts = torch.zeros(len(ids), len(distinct), device=ids.device)
    return counts.scatter_add_(1, place, torch.ones_like(place, dtype=counts.dtype))


def apply_sign_policies(blocks: Sequence[Block], inputs: SignPolicy, activations: SignPolicy) -> list[Block]:
    """The blocks after the sign policies of their kind."""
    policies = {"input": inputs, "activation": activations}
    return [out for block in blocks for out in apply_sign_policy(block, policies[block.kind])]
