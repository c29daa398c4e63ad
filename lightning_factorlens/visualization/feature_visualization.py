"""Pictures of what units, directions and singular vectors of a network respond to, for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_choice, check_int
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.capture.parameter_values import check_parameter_values
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results.feature_visualization import FeatureVisualization
from lightning_factorlens.visualization.batched_ascent import Order, optimize_pictures
from lightning_factorlens.visualization.image_forward import ImageForward
from lightning_factorlens.visualization.image_model import ImageModel, layer_outputs, layers_of
from lightning_factorlens.visualization.image_statistics import ImageStatistics
from lightning_factorlens.visualization.layer_reader import LayerReader
from lightning_factorlens.visualization.objective_base import Objective
from lightning_factorlens.visualization.record import make_record
from lightning_factorlens.visualization.settings import PRESETS, Settings

#: Receives the number of steps of single pictures that are done or spared, and of those there are at most.
Progress = Callable[[int, int], None]


def visualize(
    model: nn.Module,
    probe: Any,
    objectives: Objective | Sequence[Objective],
    preset: str | Settings = "faithful",
    *,
    pictures: int = 1,
    value_range: tuple[float, float] | None = None,
    exemplars: int = 9,
    seed: int = 0,
    forward_fn: ForwardFn | None = None,
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    output_part: str | None = None,
    progress: Progress | None = None,
) -> FeatureVisualization:
    """Finds the pictures that maximise objectives, all in as few batches as memory allows.

    The model is in evaluation mode meanwhile and is left bit for bit as found; the global random states are not used.
    A forward pass ends at the last layer that is read. In every step each picture passes once through the model.
    Images must not influence one another, as they do in a batch norm without running statistics.

    Args:
        model: Any module whose input are images.
        probe: Real images as the model receives them, e.g. a tensor (N, C, H, W), a batch that holds it, or a `Probe`.
            Shape, range and colours of the pictures are theirs.
        objectives: What to maximise: one objective or several.
        preset: ``"faithful"``, ``"natural"``, or settings; see `preset`.
        pictures: Number of pictures of each objective, which `Settings.diversity` keeps apart.
        value_range: Smallest and largest value of a pixel that the model may receive. None: from 0 to 1 where all
            images of the probe are, else from the smallest to the largest value of each channel.
        exemplars: Number of real images that are kept beside each picture.
        seed: Seed of the initial values and the random transformations.
        forward_fn: ``(model, batch) → output`` for models that need more of a batch than the images.
        forward_context: Makes the context in which the model is called, e.g. an autocast.
        output_part: Path of the part of the output that `Logit` reads; the first one unless given.
        progress: Receives how many steps of single pictures are done, and how many there are at most.

    Returns:
        The pictures and what the real images say beside them, on the CPU.

    Raises:
        ValueError: Inputs that are no images, a layer or unit that does not exist or is not called, singular vectors
            of a layer without them, a layer without gradients, or sharded parameters.

    Example:
        >>> from lightning_factorlens.visualization import SingularVector, visualize
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        >>> found = visualize(model, torch.rand(20, 1, 8, 8), [SingularVector("0", index) for index in range(4)])
        >>> tuple(found.pictures.shape), found.share_above
        ((4, 1, 8, 8), 1.0)
    """
    check_parameter_values(model)
    wanted = _check(model, objectives, preset)
    check_int("pictures", pictures, 1)
    check_int("exemplars", exemplars, 1)
    samples = _on_device(Probe.wrap(probe, getattr(forward_fn, "inputs", None)), model)
    statistics = ImageStatistics.of(samples.inputs, value_range)
    linear = {layer.name: layer for layer in linear_layers(model)}
    with isolate_model(model, gradients=True), forward_context():
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        forward = ImageForward(model, samples, forward_fn)
        with LayerReader(model, forward, layers_of(wanted), output_part) as reader:
            outputs = layer_outputs(reader, statistics.inputs(statistics.mean_pictures(2)), linear)
        image_model = ImageModel(model, forward, samples, statistics, outputs, output_part)
        real = image_model.answers_to_probe(wanted)
        _check_finite(real.scores, wanted)
        scales = real.scores.abs().amax(0)
        repeated = [objective for objective in wanted for _ in range(pictures)]
        best = real.scores.max(0)
        order = Order(
            repeated,
            scales.where(scales > 0, 1.0).repeat_interleave(pictures),
            best.values.repeat_interleave(pictures),
            best.indices.repeat_interleave(pictures),
            pictures,
            preset,
            seed,
        )
        found, n_passed = optimize_pictures(image_model, order, _Counter(progress, image_model, order))
    name = preset if isinstance(preset, str) else "custom"
    return make_record(name, repeated, found, n_passed, real, image_model, exemplars, pictures)


class _Counter:
    """Counts steps for the user's progress function."""

    def __init__(self, progress: Progress | None, image_model: ImageModel, order: Order) -> None:
        self._progress = progress
        self._done = 0
        self._total = sum(order.settings(image_model, objective).steps for objective in order.objectives)

    def __call__(self, n_steps: int) -> None:
        self._done += n_steps
        if self._progress is not None:
            self._progress(self._done, self._total)


def _check(model: nn.Module, objectives: Objective | Sequence[Objective], preset: str | Settings) -> list[Objective]:
    """The objectives as a list."""
    wanted = [objectives] if isinstance(objectives, Objective) else list(objectives)
    for objective in wanted:
        if not isinstance(objective, Objective) or not objective.terms():
            raise ValueError(f"objectives: must be objectives such as Channel('conv1', 0), found {objective!r}.")
    if not wanted:
        raise ValueError(
            "objectives: found none; give at least one, such as Channel('conv1', 0). leading_vectors finds none in a "
            "layer whose weight is zero or not finite."
        )
    if not isinstance(preset, Settings):
        check_choice("preset", preset, PRESETS)
    sharded = sharded_parameters(model)
    if sharded:
        raise ValueError(
            f"model: pictures are optimised by one process, and {len(sharded)} parameters are sharded over several, "
            f"first {sharded[0]!r}; load a checkpoint into a whole model."
        )
    return wanted


def _check_finite(scores: Tensor, objectives: Sequence[Objective]) -> None:
    """Refuses objectives that are NaN or infinite for a real image, shape (N, objectives)."""
    for objective, is_finite in zip(objectives, torch.isfinite(scores).all(0).tolist()):
        if not is_finite:
            raise ValueError(
                f"objectives: {str(objective)!r} is NaN or infinite for an image of the probe; check the model's "
                "weights, or choose a layer before the first one that gives such values."
            )


def _on_device(probe: Probe, model: nn.Module) -> Probe:
    """The probe on the model's device; where the model lies on several, on its own."""
    devices = {parameter.device for parameter in model.parameters()}
    return probe.to(devices.pop()) if len(devices) == 1 else probe
