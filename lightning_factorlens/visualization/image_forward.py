"""Calling a model on pictures as it is called on the probe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.forward_fn import ForwardFn


class ImageForward:
    """Calls a model on images; other arguments that a batch holds are those of the probe's first samples.

    Args:
        model: The model.
        probe: The probe, whose batches the model takes.
        forward_fn: ``(model, batch) → output``; None calls the model on the batch.

    Raises:
        ValueError: The inputs are no part of the batches, so that they cannot be replaced by pictures.
    """

    def __init__(self, model: nn.Module, probe: Probe, forward_fn: ForwardFn | None) -> None:
        self._model = model
        self._forward_fn = forward_fn
        self._template = probe.part(0)
        self._is_plain = self._template.data is self._template.inputs
        if not self._is_plain:
            is_replaceable = self._template.with_inputs(self._template.inputs) is not None
            if not is_replaceable or not self._template.is_cuttable:
                raise ValueError(
                    "probe: the images are no rows of a tensor in the batches, so that pictures cannot take their "
                    "place; pass a tensor of images, or a dictionary of tensors with one row for each image."
                )

    @property
    def max_batch(self) -> int | None:
        """Largest number of images in a call; None for any."""
        return None if self._is_plain else len(self._template)

    def take_from(self, part: Batch) -> None:
        """Takes the other arguments of the next calls from some samples."""
        self._template = part

    def __call__(self, images: Tensor) -> Any:
        """The model's output for images of shape (n, C, H, W)."""
        data: Any = images
        if not self._is_plain:
            batch = self._template[: len(images)].with_inputs(images)
            assert batch is not None
            data = batch.data
        elif images.is_leaf or not torch.is_grad_enabled():
            data = images.clone()  # a model that overwrites its input would otherwise change the probe
        return self._model(data) if self._forward_fn is None else self._forward_fn(self._model, data)
