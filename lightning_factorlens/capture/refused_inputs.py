"""Says of which shape and type the samples were where a model's forward pass has failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.out_of_memory import is_out_of_memory


class RefusedInputsError(RuntimeError):
    """A model's forward pass has failed; the message says on what, and the model's own error is the cause."""


@contextmanager
def describe_refused_inputs(model: nn.Module, batch: Batch) -> Iterator[None]:
    """Adds what the model was called with to the error where a forward pass fails inside of this context.

    Args:
        model: The model.
        batch: What it is called with.

    Raises:
        RefusedInputsError: The forward pass has raised a RuntimeError, or has found that a batch is no tensor. Errors
            that report that memory did not suffice stay as they are.

    Example:
        >>> import torch
        >>> model, batch = nn.Linear(4, 2), Batch.wrap(torch.ones(3, 5))
        >>> try:
        ...     with describe_refused_inputs(model, batch):
        ...         _ = model(batch.data)
        ... except RuntimeError as error:
        ...     print(str(error).split(":")[0], "|", str(error).split(". ")[-1])
        probe | If the model takes others, pass them as in training: images as (N, C, H, W), in torch.float32.
    """
    try:
        yield
    except (AttributeError, TypeError) as error:
        if isinstance(batch.data, Tensor):
            raise
        raise RefusedInputsError(
            f"probe: the model's forward pass failed with a batch of type {type(batch.data).__name__}: {error}. If the "
            "model takes one tensor, pass the inputs as one, without labels: torch.stack(images) of a list; if it "
            "takes parts of a batch, pass `forward_fn=`, such as ForwardArgs(['image'])."
        ) from error
    except RuntimeError as error:
        if is_out_of_memory(error) or not isinstance(batch.inputs, Tensor):
            raise
        found = f"{tuple(batch.inputs.shape)} and type {batch.inputs.dtype}"
        dtypes = [parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()]
        usual = f", in {dtypes[0]}" if dtypes else ""
        raise RefusedInputsError(
            f"probe: the model's forward pass failed with samples of shape {found}: {error}. If the model takes "
            f"others, pass them as in training: images as (N, C, H, W){usual}."
        ) from error
