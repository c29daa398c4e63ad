"""Which part of a collated batch counts as the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.batch_objects import is_record, object_inputs, record_fields
from lightning_factorlens.batches.tree import INPUT_KEYS

#: A tensor of all samples, or a list of one tensor for each sample.
Inputs = Tensor | list[Tensor]
#: Numbers of channels by which a list of tensors is recognised as a list of images.
IMAGE_CHANNELS = (1, 3, 4)


def find_inputs(batch: Any, n_samples: int | None = None) -> Inputs:
    """The part of a batch that counts as the input; labels are dropped.

    It is the floating-point or uint8 tensor with the most axes, at least two. Without one it is the tensor of whole
    numbers with the most axes, at least two: token ids. Among equals, one under a key that names an input (see
    `INPUT_KEYS` in `tree`) comes first, then the first in the batch. A list of one image for each sample, as models for
    detection take them, counts as one tensor of all images. Of an object that holds tensors, such as a batch of graphs,
    it is the attribute ``x``, or else ``pos``; of a heterogeneous graph that of the first type of nodes.

    Args:
        batch: A tensor; tensors in dictionaries, lists and tuples; or an object with such an attribute.
        n_samples: Number of samples that were collated, by which a list of images is told from a list of batches; None
            where it is not known.

    Returns:
        The tensor itself, shape (N, …), or the list of N images.

    Raises:
        TypeError: The batch has no tensor of at least two axes, or the inputs are sparse or nested.

    Example:
        >>> import torch
        >>> tuple(find_inputs((torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))).shape)
        (2, 3, 8, 8)
        >>> images, targets = (torch.rand(3, 8, 8), torch.rand(3, 9, 9)), ({"labels": torch.zeros(1)}, {})
        >>> len(find_inputs((images, targets)))
        2
    """
    candidates: list[Inputs] = []
    amounts: list[Inputs] = []
    for found in _candidates(batch, n_samples):
        first = found[0] if isinstance(found, list) else found
        if _n_axes(found) >= 2:
            candidates.append(found)
            if first.is_floating_point() or first.dtype == torch.uint8:
                amounts.append(found)
    if not candidates:
        raise TypeError(
            f"probe: found no tensor of inputs in a batch of type {type(batch).__name__}, since none has two axes or "
            "more. Pass `probe=` a tensor (N, C, H, W), or `forward_fn=` an object whose method `inputs(batch)` "
            "returns the inputs, such as ForwardArgs(['image'])."
        )
    inputs = max(amounts or candidates, key=_n_axes)
    _check_layout(inputs)
    return inputs


def _check_layout(inputs: Inputs) -> None:
    """Refuses tensors whose entries cannot be compared sample by sample."""
    for tensor in inputs if isinstance(inputs, list) else [inputs]:
        if tensor.is_nested or tensor.layout != torch.strided:
            kind = "a nested tensor" if tensor.is_nested else f"a tensor of layout {tensor.layout}"
            raise TypeError(
                f"probe: found {kind} as inputs; they must be dense. Pass `forward_fn=` an object whose method "
                "`inputs(batch)` returns a dense tensor with one row for each sample."
            )


def _n_axes(inputs: Inputs) -> int:
    """Number of axes, that of the samples included."""
    return 1 + inputs[0].ndim if isinstance(inputs, list) else inputs.ndim


def _candidates(batch: Any, n_samples: int | None, siblings: Sequence[Any] = ()) -> Iterator[Inputs]:
    """Every tensor and list of images, in order, but in a dictionary those under one of `INPUT_KEYS` first."""
    if isinstance(batch, Tensor):
        yield batch
    elif is_record(batch):
        yield from _candidates(record_fields(batch), n_samples, siblings)
    elif isinstance(batch, Mapping):
        keys = sorted(batch, key=lambda key: str(key) not in INPUT_KEYS)  # stable: the other keys keep their order
        for key in keys:
            yield from _candidates(batch[key], n_samples, tuple(batch.values()))
    elif isinstance(batch, (tuple, list)):
        if _is_image_list(batch, n_samples, siblings):
            yield list(batch)
        else:
            for part in batch:
                yield from _candidates(part, n_samples, batch)
    else:
        found = object_inputs(batch)
        if found is not None:
            yield found


def _is_image_list(parts: Sequence[Any], n_samples: int | None, siblings: Sequence[Any]) -> bool:
    """Whether a list holds one tensor for each sample, and not several tensors of all samples."""
    is_alone = len(parts) == 1 and not siblings
    if not parts or is_alone or not all(isinstance(part, Tensor) for part in parts):
        return False
    n_axes = parts[0].ndim
    if n_axes < 2 or any(part.ndim != n_axes for part in parts):
        return False
    n_rows = {len(part) for part in parts}
    if n_samples is not None and (len(parts) != n_samples or n_rows != {n_samples}):
        return len(parts) == n_samples
    if any(_is_target_list(sibling, len(parts)) for sibling in siblings):
        return True
    are_images = n_axes == 3 and len(n_rows) == 1 and n_rows.issubset(IMAGE_CHANNELS)
    return n_samples is None and are_images


def _is_target_list(part: Any, length: int) -> bool:
    """Whether a part holds one dictionary for each sample, as the targets of detection."""
    is_list = isinstance(part, (tuple, list)) and len(part) == length
    return is_list and all(isinstance(target, Mapping) for target in part)
