"""Optimising any number of pictures, in as few batches as memory allows."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.capture.out_of_memory import is_out_of_memory
from lightning_factorlens.visualization.ascent import ascend
from lightning_factorlens.visualization.image_model import ImageModel, layers_of
from lightning_factorlens.visualization.layer_reader import LayerReader
from lightning_factorlens.visualization.memory import bytes_per_image
from lightning_factorlens.visualization.objective_base import Objective
from lightning_factorlens.visualization.problem import Problem
from lightning_factorlens.visualization.scores import Scores
from lightning_factorlens.visualization.settings import Settings, preset


@dataclass(frozen=True, eq=False)
class OptimizedPicture:
    """One picture.

    Attributes:
        pixels: Shape (C, H, W), from 0 to 1.
        score: Its score without random transformations.
        history: Its score in every step, shape (steps,); NaN after it has converged.
        answer: Mean output over the positions of the layer of the objective's first term, shape (channels,).
    """

    pixels: Tensor
    score: float
    history: Tensor
    answer: Tensor


@dataclass(frozen=True, eq=False)
class Order:
    """Which pictures are wanted.

    Attributes:
        objectives: One for each picture; those of one objective are neighbours.
        scales: Unit of the score of each, shape (pictures,).
        best_scores: Largest score of a real image, shape (pictures,).
        best_images: Position of that image in the probe, shape (pictures,).
        n_alike: Number of pictures of each objective.
        preset: Name of the preset, or settings.
        seed: Seed of all random values.
    """

    objectives: Sequence[Objective]
    scales: Tensor
    best_scores: Tensor
    best_images: Tensor
    n_alike: int
    preset: str | Settings
    seed: int

    def settings(self, image_model: ImageModel, objective: Objective) -> Settings:
        """The settings of a picture."""
        if isinstance(self.preset, Settings):
            return self.preset
        size = image_model.statistics.shape[1:]
        has_positions = all(len(image_model.outputs[layer].shape) > 2 for layer in layers_of([objective]))
        return preset(self.preset, size, has_positions)


def optimize_pictures(
    image_model: ImageModel, order: Order, on_step: Callable[[int], None]
) -> tuple[list[OptimizedPicture], int]:
    """Optimises all pictures; those that read the same layers share batches.

    Args:
        image_model: The model.
        order: Which pictures are wanted.
        on_step: Receives the number of steps of single pictures that are done since the last call.

    Returns:
        The pictures in order, and the number of images that have passed through the model.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, objective in enumerate(order.objectives):
        groups[layers_of([objective])].append(index)
    found: dict[int, OptimizedPicture] = {}
    n_passed = 0
    for indices in groups.values():
        with image_model.reader([order.objectives[indices[0]]]) as reader:
            pictures = _optimize_group(image_model, reader, order, indices, on_step)
            n_passed += reader.n_passed
        found.update(zip(indices, pictures))
    return [found[index] for index in range(len(order.objectives))], n_passed


def _optimize_group(
    image_model: ImageModel, reader: LayerReader, order: Order, indices: Sequence[int], on_step: Callable[[int], None]
) -> list[OptimizedPicture]:
    """Optimises the pictures that read the same layers; those below their best real image start again from it."""
    settings = order.settings(image_model, order.objectives[indices[0]])
    generator = torch.Generator().manual_seed(order.seed)
    starts = settings.parametrization.start(len(indices), image_model.statistics, generator)
    found = _optimize_batches(image_model, reader, order, settings, indices, starts, generator, on_step)
    low = [row for row, index in enumerate(indices) if found[row].score < float(order.best_scores[index])]
    inputs = image_model.probe.inputs
    images = order.best_images[[indices[row] for row in low]].to(inputs.device)
    real = image_model.statistics.pictures(inputs[images]).to(starts.device)
    again = settings.parametrization.describe(real)
    if low and again is not None and order.n_alike == 1:
        chosen = [indices[row] for row in low]
        second = _optimize_batches(image_model, reader, order, settings, chosen, again, generator, lambda _: None)
        for row, picture in zip(low, second):
            found[row] = max(found[row], picture, key=lambda one: one.score)
    return found


def _optimize_batches(
    image_model: ImageModel,
    reader: LayerReader,
    order: Order,
    settings: Settings,
    indices: Sequence[int],
    starts: Tensor,
    generator: torch.Generator,
    on_step: Callable[[int], None],
) -> list[OptimizedPicture]:
    """Optimises pictures from given parameters, batch by batch."""
    size = _batch_size(image_model, reader, settings, order.n_alike)
    found: list[OptimizedPicture] = []
    while len(found) < len(indices):
        rows = slice(len(found), len(found) + size)
        batch = torch.tensor(indices[rows])
        try:
            found += _optimize_batch(image_model, reader, order, settings, batch, starts[rows], generator, on_step)
            continue
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size <= order.n_alike:
                raise
        size = max(size // 2 // order.n_alike, 1) * order.n_alike  # outside the handler, which keeps the failed pass
        gc.collect()
    return found


def _batch_size(image_model: ImageModel, reader: LayerReader, settings: Settings, n_alike: int) -> int:
    """Number of pictures in a batch: a multiple of those of one objective."""
    statistics = image_model.statistics
    images = statistics.inputs(statistics.mean_pictures(2))
    size = settings.budget(images.device) // bytes_per_image(reader, images)
    size = min(size, settings.max_batch, image_model.forward.max_batch or settings.max_batch)
    return max(size // n_alike, 1) * n_alike


def _optimize_batch(
    image_model: ImageModel,
    reader: LayerReader,
    order: Order,
    settings: Settings,
    batch: Tensor,
    parameters: Tensor,
    generator: torch.Generator,
    on_step: Callable[[int], None],
) -> list[OptimizedPicture]:
    """Optimises the pictures of one batch, and reads what the layers answer to them as they are."""
    objectives = [order.objectives[index] for index in batch.tolist()]
    scores = Scores.of(objectives, image_model.outputs)
    layer = layers_of(objectives)[0]
    problem = Problem(
        reader,
        scores,
        order.scales[batch.to(order.scales.device)],
        settings,
        image_model.statistics,
        order.n_alike,
        (layer, image_model.outputs[layer].channel_axis),
    )
    result = ascend(problem, parameters, generator, on_step)
    answers = image_model.answers_to_pictures(reader, result.pictures, scores)
    pictures, history = result.pictures.cpu(), result.history.cpu()
    own_scores, means = answers.scores.tolist(), answers.means[layer].cpu()
    return [OptimizedPicture(pictures[row], own_scores[row], history[:, row], means[row]) for row in range(len(batch))]
