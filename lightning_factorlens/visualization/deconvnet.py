"""Deconvnets: what in an image has made a unit respond, projected back to the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_choice, check_int, check_positions
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.gradients import differentiable_batch
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results.unit_projections import UnitProjections
from lightning_factorlens.visualization.deconvnet_rules import Unpool, install_rules
from lightning_factorlens.visualization.probe_pass import Forward, bind_forward, check_layer, select_samples
from lightning_factorlens.visualization.unit_images import images_of_units
from lightning_factorlens.visualization.unit_maps import UnitAxis

Start = Literal["strongest", "map"]

#: Images that pass together, with the graph in memory.
BATCH_SIZE = 32


def deconvnet(
    model: nn.Module,
    probe: Any,
    layer: str,
    units: Sequence[int],
    images: Sequence[int] | Tensor | None = None,
    *,
    count: int = 9,
    unpool: Unpool = "switches",
    start: Start = "strongest",
    forward_fn: ForwardFn | None = None,
) -> UnitProjections:
    """Projects units of any layer back to the pixels.

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", section 2.1. The unit's map is
    rectified, all other units are set to zero, and what is left goes back through the transposed layers; ReLUs rectify
    it again, whether they are modules or functions. Gulati et al. (2017), section 2, unpool without switches. Biases
    take no part in it. A rectifier that a model builds itself, such as ``x * (x > 0)``, cannot be told from a product
    with a constant: it is passed as the gradient passes it.

    Args:
        model: The model; it is left bit for bit as found.
        probe: Images (N, C, H, W), or a `Probe`, on the model's device.
        layer: Name of a call of the forward pass: the path of a module, or, of a function, such as ``"block.F.relu"``.
        units: Channels of the layer.
        images: Positions of images in the probe, shape (n,) for all units or (units, n); None for the ``count`` images
            in which each unit is strongest.
        count: Number of images of each unit where none are given; all where the probe has fewer.
        unpool: What a max pooling does with what comes back: ``"switches"`` puts it where the region's maximum was, the
            first of equal ones, and adds where regions share it; ``"regions"`` gives it to the whole region, and where
            regions overlap the largest.
        start: From where it starts: ``"strongest"``, the position at which the unit is strongest; or ``"map"``, all.
        forward_fn: ``(model, batch) → output``, see `FactorLens`; the model itself unless given.

    Returns:
        The projections, beside the images and the maps.

    Raises:
        UnsupportedOperationError: An operation without a rule lies before the layer; the message names it, and what is
            supported.
        ValueError: An unknown layer, unit or image, or a wrong word.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU())
        >>> deconvnet(model, torch.rand(20, 1, 12, 12), "4", units=[0, 5], count=3).projections.shape
        torch.Size([2, 3, 1, 12, 12])
    """
    check_choice("unpool", unpool, ("switches", "regions"))
    check_choice("start", start, ("strongest", "map"))
    check_int("count", count, 1)
    samples = Probe.wrap(probe)
    if not isinstance(samples.inputs, Tensor) or not samples.inputs.is_floating_point():
        found = samples.inputs.dtype if isinstance(samples.inputs, Tensor) else type(samples.inputs).__name__
        raise ValueError(
            f"probe: must be one tensor of floating-point images, found {found}; convert images to floating point. "
            "There is no deconvnet of tokens, and none of images of different sizes."
        )
    forward = bind_forward(model, forward_fn)
    is_shared = images is not None and torch.as_tensor(images).ndim == 1
    projector = _Projector(model, layer, unpool, start, forward)
    with isolate_model(model, gradients=True):
        positions = images_of_units(model, samples, layer, units, images, count, forward)
        for pairs in _passes(positions, is_shared):
            rows = positions.flatten()[pairs[0]]
            projector.project(select_samples(samples, rows.tolist()), pairs, _units_of(pairs, units, positions))
    return UnitProjections(
        layer=layer,
        units=tuple(map(int, units)),
        images=positions,
        inputs=samples.inputs.detach().cpu()[positions],
        maps=projector.joined(projector.maps, positions.shape),
        projections=projector.joined(projector.projections, positions.shape),
        unpool=unpool,
        start=start,
    )


def _passes(positions: Tensor, is_shared: bool) -> Iterator[list[Tensor]]:
    """The forward passes: for each the pairs of a unit and an image that are projected by each of its backward passes.

    Where all units have the same images, these pass forward once. A pair is a position in ``positions``, flattened.

    Args:
        positions: Positions of the images, shape (units, n).
        is_shared: Whether all its rows are equal.

    Yields:
        Sets of pairs, each of shape (m,), that have the same images in the same order.
    """
    n_units, n_images = positions.shape
    if is_shared:
        for columns in torch.arange(n_images).split(BATCH_SIZE):
            yield [unit * n_images + columns for unit in range(n_units)]
    else:
        for pairs in torch.arange(n_units * n_images).split(BATCH_SIZE):
            yield [pairs]


def _units_of(pairs: list[Tensor], units: Sequence[int], positions: Tensor) -> list[Tensor]:
    """The unit of every pair."""
    own = torch.tensor(list(units)).repeat_interleave(positions.shape[1])
    return [own[members] for members in pairs]


class _Projector:
    """Projects pairs of a unit and an image, and keeps what it finds."""

    def __init__(self, model: nn.Module, layer: str, unpool: Unpool, start: Start, forward: Forward) -> None:
        self.model = model
        self.layer = layer
        self.unpool = unpool
        self.start = start
        self.forward = forward
        self.pairs: list[Tensor] = []
        self.maps: list[Tensor] = []
        self.projections: list[Tensor] = []

    def project(self, batch: Batch, pairs: list[Tensor], units: list[Tensor]) -> None:
        """One forward pass, and a backward pass for each set of pairs.

        Args:
            batch: The images.
            pairs: Sets of pairs, one pair for each image.
            units: The units of these pairs.
        """
        connected, leaf = differentiable_batch(batch, input_gradients=True)
        assert leaf is not None
        maps = self._pass(connected)
        for own_units in units:
            check_positions("units", own_units.tolist(), maps.shape[1], f"units of {self.layer!r}")
        install_rules(maps, leaf, self.unpool)
        rows = torch.arange(len(leaf), device=maps.device)
        for own_pairs, own_units in zip(pairs, units):
            own_maps = maps[rows, own_units.to(maps.device)]
            signal = own_maps.detach().clamp_min(0)
            if self.start == "strongest":
                signal = _keep_strongest(signal)
            (found,) = torch.autograd.grad(own_maps, leaf, signal, retain_graph=own_pairs is not pairs[-1])
            self.pairs.append(own_pairs)
            self.maps.append(own_maps.detach().float().cpu())
            self.projections.append(found.float().cpu())

    def joined(self, parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        """What was found for the pairs, in their order, shape (units, n, …)."""
        return torch.cat(parts)[torch.cat(self.pairs).argsort()].unflatten(0, shape)

    def _pass(self, batch: Batch) -> Tensor:
        """The layer's maps of a batch, in the graph; a copy, since the next layer may overwrite them in place."""
        outputs: list[Tensor] = []
        names: dict[str, None] = {}
        axis = UnitAxis()

        def keep(call: TracedCall) -> None:
            names.setdefault(call.name)
            axis.note(call)
            if call.name == self.layer:
                outputs.append(axis.maps(call, call.output.clone()))

        with trace_calls(self.model, keep):
            self.forward(batch.data)
        check_layer(self.layer, list(names))
        return outputs[0]


def _keep_strongest(signal: Tensor) -> Tensor:
    """The maps with every value but the largest of each set to zero, the first of equal ones.

    Args:
        signal: Shape (n, positions, …) or (n,).
    """
    flat = signal.flatten(1) if signal.ndim > 1 else signal[:, None]
    largest, position = flat.max(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, position, largest).view_as(signal)
