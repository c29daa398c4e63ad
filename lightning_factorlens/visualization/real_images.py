"""The scores of real images, and what the layers answer to images in general."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.visualization.layer_reader import LayerReader
from lightning_factorlens.visualization.scores import Scores, channels_first


@dataclass(frozen=True, eq=False)
class RealImages:
    """What the model says about the N images of the probe.

    Attributes:
        scores: Score of every image and objective, shape (N, T).
        answers: Mean output over the positions of every layer, shape (N, channels).
    """

    scores: Tensor
    answers: dict[str, Tensor]

    @property
    def is_live(self) -> Tensor:
        """Whether the scores of the images differ, shape (T,)."""
        return self.scores.amax(0) > self.scores.amin(0)

    @property
    def scales(self) -> Tensor:
        """The unit of each objective: the largest absolute score of a real image; 1 where all are zero. Shape (T,)."""
        largest = self.scores.abs().amax(0)
        return largest.where(largest > 0, 1.0)


@torch.no_grad()
def read_real_images(reader: LayerReader, probe: Probe, scores: Scores, axes: dict[str, int]) -> RealImages:
    """Sends the probe through the model once.

    Args:
        reader: Reads the layers.
        probe: N images.
        scores: The objectives.
        axes: Axis of the channels of every layer.
    """
    totals: list[Tensor] = []
    answers: dict[str, list[Tensor]] = {layer: [] for layer in axes}

    def run(part: Batch, _: int) -> None:
        images = part.inputs
        assert isinstance(images, Tensor)
        total = torch.zeros(len(images), scores.n_targets, device=images.device)
        found: dict[str, Tensor] = {}

        def read(layer: str, output: Tensor) -> None:
            nonlocal total
            total = scores.all(layer, output, total)
            found[layer] = channels_first(output, axes[layer]).mean(2)

        reader.run(images, read)
        totals.append(total)
        for layer, answer in found.items():
            answers[layer].append(answer)

    start = 0
    while start < len(probe):
        start += run_pass(probe, run, start)
    return RealImages(torch.cat(totals), {layer: torch.cat(parts) for layer, parts in answers.items()})
