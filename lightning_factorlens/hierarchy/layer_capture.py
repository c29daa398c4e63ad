"""What one layer receives and gives for a few images, and the activation that follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_positions, check_type
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import clone
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.linear_calls import LinearCallTracer
from lightning_factorlens.capture.linear_layers import FoundLayers, LinearLayer, find_linear_layers
from lightning_factorlens.capture.tracing import trace_calls
from lightning_factorlens.hierarchy.layer_names import NOT_RECEIVED, layer_names
from lightning_factorlens.hierarchy.layer_vectors import LayerVectors, VectorCache
from lightning_factorlens.hierarchy.receptive_fields import receptive_fields
from lightning_factorlens.hierarchy.sample_recorder import SampleRecorder
from lightning_factorlens.isolation.isolation import isolate_model


@dataclass(frozen=True, eq=False)
class CapturedLayer:
    """One layer and n images. Where the layer is called several times, inputs and outputs are means over the calls.

    Attributes:
        layer: The layer, with the geometry of its first call.
        vectors: Its singular vectors.
        inputs: What the layer receives, shape (n, …); None for the output projection of an attention.
        outputs: W ⋆ X without bias, shape (n, d, *grid).
        activation: The first activation of this shape that is computed afterwards, shape (n, d, *grid); None where
            there is none.
        activation_name: Its name; see `LayerDecomposition`. ``"Y + B"`` where there is none.
        images: The images, shape (n, …).
    """

    layer: LinearLayer
    vectors: LayerVectors
    inputs: Tensor | None
    outputs: Tensor
    activation: Tensor | None
    activation_name: str
    images: Tensor

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the layer's output without samples and channels."""
        return tuple(self.outputs.shape[2:])

    def signals(self) -> Tensor:
        """The signal at every position, shape (n, r, *grid)."""
        values = self.vectors.of_outputs(self.outputs.reshape(*self.outputs.shape[:2], -1))
        return values.view(*values.shape[:2], *self.grid)


@torch.no_grad()
def capture_layer(
    model: nn.Module,
    probe: Any,
    layer: str,
    images: Sequence[int],
    forward: Callable[[Any], Any] | None = None,
    cache: VectorCache | None = None,
) -> CapturedLayer:
    """Sends some images through a model, one after the other, and keeps what one layer computes.

    Args:
        model: Any module; it is left as found.
        probe: See `layer_signals`.
        layer: Name of the layer.
        images: Positions of the images in the probe.
        forward: See `layer_signals`.
        cache: See `layer_signals`.

    Raises:
        ValueError: No such layer or image, or a layer that has no signals for them, with the reason.
    """
    samples = Probe.wrap(probe)
    with isolate_model(model):
        found = find_linear_layers(model)
        _check_layer(model, found, layer)
        recorders = []
        positions = check_positions("images", images, len(samples), "images in the probe")
        for image in positions:
            recorders.append(_record(model, _one_sample(samples, image), found, layer, forward))
        first = recorders[0].layer
        assert first is not None
        vectors = (cache or VectorCache()).vectors(first)
        if not len(vectors.s):
            raise ValueError(f"layer: {layer!r} has no singular value that is finite and not zero.")
        return _join(recorders, vectors, samples.inputs[positions].detach().cpu())


def _check_layer(model: nn.Module, found: FoundLayers, layer: str) -> None:
    check_type("layer", layer, str, "pass the name of one layer")
    known = layer_names(model, found)
    if layer not in known:
        raise ValueError(f"layer: found {layer!r}; the linear layers are {', '.join(map(repr, known)) or 'none'}.")


def _one_sample(samples: Probe, image: int) -> tuple[Batch, int]:
    """The smallest batch with a sample, and the position of the sample in it."""
    start = 0
    for batch in samples.batches():
        if image < start + len(batch):
            row = image - start
            return (batch[row : row + 1], 0) if batch.is_cuttable else (batch, row)
        start += len(batch)
    raise AssertionError(f"no sample {image}")


def _record(
    model: nn.Module,
    sample: tuple[Batch, int],
    found: FoundLayers,
    name: str,
    forward: Callable[[Any], Any] | None,
) -> SampleRecorder:
    """One forward pass.

    Raises:
        ValueError: The layer is not called, or cannot be shown position by position.
    """
    batch, row = sample
    recorder = SampleRecorder(name, len(batch), row)
    tracer = LinearCallTracer(model, found, recorder.keep)
    with trace_calls(model, recorder.keep_activation), tracer.trace():
        data = tree_map(clone, batch.data)
        forward(data) if forward is not None else model(data)
    if recorder.layer is None:
        reason = found.skipped.get(name, NOT_RECEIVED)
        for listed in (*found.layers, *found.projections):
            if listed.name == name:
                reason = tracer.reason(listed)
        raise ValueError(f"layer: {name!r} has no signals: {reason}.")
    if recorder.failure():
        raise ValueError(f"layer: {name!r} cannot be shown position by position: {recorder.failure()}.")
    return recorder


def fields_of(captured: CapturedLayer) -> Tensor:
    """Ψ of all images, shape (n, groups·c/groups·∏k, positions).

    Raises:
        ValueError: The layer is the output projection of an attention, whose input is not known.
    """
    if captured.inputs is None:
        raise ValueError(
            f"layer: the input of {captured.layer.name!r} is computed inside of nn.MultiheadAttention and not known, "
            "so that its receptive fields cannot be shown."
        )
    return receptive_fields(captured.layer, captured.inputs, captured.grid).flatten(1, 2)


def _join(recorders: Sequence[SampleRecorder], vectors: LayerVectors, images: Tensor) -> CapturedLayer:
    """Several images as one capture."""
    first = recorders[0]
    outputs = [recorder.mean_outputs() for recorder in recorders]
    if len({tuple(values.shape) for values in outputs}) > 1:
        raise ValueError("images: found images of several sizes; pass those of one size.")
    inputs = [recorder.mean_inputs() for recorder in recorders]
    activations = [recorder.activation for recorder in recorders]
    assert first.layer is not None
    return CapturedLayer(
        first.layer, vectors, _joined(inputs), torch.cat(outputs), _joined(activations), first.activation_name, images
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The parts one after the other; None where one is missing."""
    present = [part for part in parts if part is not None]
    return torch.cat(present) if len(present) == len(parts) else None
