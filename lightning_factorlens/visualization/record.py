"""The record of a visualisation: the pictures, and what the real images say beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lightning_factorlens.results.feature_visualization import FeatureVisualization
from lightning_factorlens.visualization.batched_ascent import OptimizedPicture
from lightning_factorlens.visualization.image_model import Answers, ImageModel, layers_of
from lightning_factorlens.visualization.image_statistics import total_variation
from lightning_factorlens.visualization.objective_base import Objective


def make_record(
    preset: str,
    objectives: Sequence[Objective],
    found: Sequence[OptimizedPicture],
    n_passed: int,
    real: Answers,
    image_model: ImageModel,
    n_exemplars: int,
    n_alike: int,
) -> FeatureVisualization:
    """Joins the pictures, and compares the layers' answers to them with those to the real images.

    Args:
        preset: Its name.
        objectives: One for each picture.
        found: The pictures.
        n_passed: Images that have passed through the model.
        real: All scores of the real images; those of one objective hold for ``n_alike`` pictures.
        image_model: The model and the probe.
        n_exemplars: Largest number of exemplars.
        n_alike: Number of pictures of each objective.

    Returns:
        The record, on the CPU.
    """
    statistics = image_model.statistics
    scores = real.scores.cpu().repeat_interleave(n_alike, 1)
    best = scores.topk(min(n_exemplars, len(scores)), 0)
    exemplars = best.indices.T
    positions, exemplar_index = exemplars.unique(return_inverse=True)
    inputs = image_model.probe.inputs
    pictures = torch.stack([picture.pixels for picture in found])
    cosines = [
        _cosines(picture.answer, real.means[layers_of([objective])[0]].cpu(), exemplars[index])
        for index, (picture, objective) in enumerate(zip(found, objectives))
    ]
    return FeatureVisualization(
        names=_names(objectives, n_alike),
        preset=preset,
        pictures=pictures,
        low=statistics.low.cpu(),
        high=statistics.high.cpu(),
        scores=torch.tensor([picture.score for picture in found]),
        history=_joined_histories([picture.history for picture in found]),
        best_scores=best.values[0],
        exemplars=exemplars,
        exemplar_images=statistics.pictures(inputs[positions.to(inputs.device)]),
        exemplar_index=exemplar_index,
        is_live=scores.amax(0) > scores.amin(0),
        exemplar_cosine=torch.tensor([near for near, _ in cosines]),
        probe_cosine=torch.tensor([far for _, far in cosines]),
        variation=total_variation(pictures) / statistics.total_variation,
        n_passed=n_passed,
    )


def _cosines(answer: Tensor, answers: Tensor, exemplars: Tensor) -> tuple[float, float]:
    """Mean cosine of an answer with those to the exemplars, and with those to all real images."""
    cosines = functional.cosine_similarity(answer[None], answers, dim=1)
    return float(cosines[exemplars].mean()), float(cosines.mean())


def _names(objectives: Sequence[Objective], n_alike: int) -> tuple[str, ...]:
    """The objectives in words, and the number of the picture where an objective has several."""
    if n_alike == 1:
        return tuple(map(str, objectives))
    return tuple(f"{objective}, picture {index % n_alike}" for index, objective in enumerate(objectives))


def _joined_histories(histories: Sequence[Tensor]) -> Tensor:
    """Shape (steps, pictures); those of fewer steps are filled up with NaN."""
    return torch.nn.utils.rnn.pad_sequence(list(histories), padding_value=torch.nan)
