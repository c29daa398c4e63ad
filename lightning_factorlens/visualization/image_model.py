"""A model that is called on images, its layers, and what they answer to the probe and to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.linear_layers import LinearLayer
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.visualization.image_forward import ImageForward
from lightning_factorlens.visualization.image_statistics import ImageStatistics
from lightning_factorlens.visualization.layer_reader import LayerReader
from lightning_factorlens.visualization.objective_base import Objective
from lightning_factorlens.visualization.readings import LayerOutput
from lightning_factorlens.visualization.scores import Scores, channels_first


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model computes for n images.

    Attributes:
        scores: Score of every image and objective, shape (n, T), or of every image's own objective, shape (n,).
        means: Mean output over the positions of every layer, shape (n, channels).
    """

    scores: Tensor
    means: Mapping[str, Tensor]


def layers_of(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The layers that objectives read, in order."""
    found: dict[str, None] = {}
    for objective in objectives:
        for _, term in objective.terms():
            found[term.layer] = None
    return tuple(found)


@dataclass(frozen=True, eq=False)
class ImageModel:
    """An isolated model whose parameters need no gradients.

    Attributes:
        model: The model.
        forward: Calls it on images.
        probe: Real images.
        statistics: Range, colours and spectrum of the probe's images.
        outputs: What a forward pass has shown of every layer.
        output_part: Path of the part of the model's output that is read; None for the first one.
    """

    model: nn.Module
    forward: ImageForward
    probe: Probe
    statistics: ImageStatistics
    outputs: Mapping[str, LayerOutput]
    output_part: str | None

    def reader(self, objectives: Sequence[Objective]) -> LayerReader:
        """Reads the layers of some objectives."""
        return LayerReader(self.model, self.forward, layers_of(objectives), self.output_part)

    @torch.no_grad()
    def answers_to_probe(self, objectives: Sequence[Objective]) -> Answers:
        """All scores of the N real images, by one pass of the probe."""
        scores = Scores.of(objectives, self.outputs)
        parts: list[Answers] = []
        with self.reader(objectives) as reader:

            def run(part: Batch, _: int) -> None:
                """One pass."""
                images = part.inputs
                assert isinstance(images, Tensor)
                self.forward.take_from(part)
                parts.append(self._answers(reader, images, scores, own=False))

            start = 0
            while start < len(self.probe):
                start += run_pass(self.probe, run, start)
        self.forward.take_from(self.probe.part(0))
        return _joined(parts)

    @torch.no_grad()
    def answers_to_pictures(self, reader: LayerReader, pictures: Tensor, scores: Scores) -> Answers:
        """The score of every picture for its own objective."""
        return self._answers(reader, self.statistics.inputs(pictures), scores, own=True)

    def _answers(self, reader: LayerReader, images: Tensor, scores: Scores, own: bool) -> Answers:
        n = len(images)
        total = torch.zeros((n,) if own else (n, scores.n_targets), device=images.device)
        means: dict[str, Tensor] = {}

        def read(layer: str, output: Tensor) -> None:
            nonlocal total
            total = scores.own(layer, output, total) if own else scores.all(layer, output, total)
            means[layer] = channels_first(output, self.outputs[layer].channel_axis).mean(2)

        reader.run(images, read)
        return Answers(total, means)


@torch.no_grad()
def layer_outputs(reader: LayerReader, images: Tensor, linear: Mapping[str, LinearLayer]) -> dict[str, LayerOutput]:
    """What one forward pass shows of the layers that are read.

    Args:
        reader: Reads the layers.
        images: A few images as the model receives them.
        linear: The convolutions and linear layers by name.
    """
    found: dict[str, LayerOutput] = {}

    def read(layer: str, output: Tensor) -> None:
        shape, own = tuple(output.shape), linear.get(reader.path(layer))
        found[layer] = LayerOutput(layer, reader.module(layer), shape, output.device, own)

    reader.run(images, read)
    return found


def _joined(parts: Sequence[Answers]) -> Answers:
    means = {layer: torch.cat([part.means[layer] for part in parts]) for layer in parts[0].means}
    return Answers(torch.cat([part.scores for part in parts]), means)
