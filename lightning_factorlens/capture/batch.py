"""The probe as a model takes it: a collated batch of any structure, and the tensor in it that counts as the input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.capture.tree import tree_leaves, tree_map


@dataclass(frozen=True)
class Batch:
    """N samples as the model is called with them.

    Example:
        >>> import torch
        >>> batch = Batch.wrap({"mask": torch.ones(4, 1), "image": torch.rand(4, 3), "name": list("abcd")})
        >>> len(batch), tuple(batch.inputs.shape), batch[1:3].data["name"]
        (4, (4, 3), ['b', 'c'])

    Attributes:
        data: A tensor, or tensors in dictionaries, lists and tuples. Tensors and lists of N rows have one row for each
            sample.
        inputs: The tensor that counts as the input, shape (N, …).
    """

    data: Any
    inputs: Tensor

    @staticmethod
    def wrap(data: Any, pick: Callable[[Any], Tensor] | None = None) -> Batch:
        """Makes a batch of what the model takes.

        Args:
            data: As the attribute ``data``, or a batch.
            pick: Finds the inputs in ``data``; `find_inputs` unless given.

        Returns:
            The batch; ``data`` itself if it is one.

        Raises:
            TypeError: `find_inputs` finds no inputs in ``data``.
        """
        if isinstance(data, Batch):
            return data
        if pick is not None:
            return Batch(data, pick(data))
        if isinstance(data, Tensor):
            return Batch(data, data)
        return Batch(data, find_inputs(data))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples."""
        n_samples = len(self)
        inputs = self.inputs[rows]

        def select(part: Any) -> Any:
            if part is self.inputs:
                return inputs
            has_rows = (isinstance(part, Tensor) and part.ndim > 0) or isinstance(part, list)
            if has_rows and len(part) == n_samples:
                return part[rows]
            return part

        return Batch(tree_map(select, self.data), inputs)

    def split(self, size: int) -> Iterator[Batch]:
        """Batches of at most ``size`` samples, in order."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device) -> Batch:
        """This batch with its tensors on another device."""
        inputs = self.inputs.to(device)

        def move(part: Any) -> Any:
            if part is self.inputs:
                return inputs
            if isinstance(part, Tensor):
                return part.to(device)
            return part

        return Batch(tree_map(move, self.data), inputs)

    def with_inputs(self, inputs: Tensor) -> Batch | None:
        """This batch with other inputs; None if its inputs are no part of its data but were computed from them."""
        n_replaced = 0

        def replace(part: Any) -> Any:
            nonlocal n_replaced
            if part is not self.inputs:
                return part
            n_replaced += 1
            return inputs

        data = tree_map(replace, self.data)
        return Batch(data, inputs) if n_replaced else None


def find_inputs(batch: Any) -> Tensor:
    """The tensor of a batch that counts as the input; labels are dropped.

    It is the floating-point or uint8 tensor with the most axes, at least two. Without one it is the tensor of whole
    numbers with the most axes, at least two: token ids. Among equals, one under a key that names an input (see
    `INPUT_KEYS` in `tree`) comes first, then the first in the batch.

    Args:
        batch: A tensor, or tensors in dictionaries, lists and tuples.

    Returns:
        The tensor itself, shape (N, …).

    Raises:
        TypeError: The batch has no tensor of at least two axes.

    Example:
        >>> import torch
        >>> tuple(find_inputs((torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))).shape)
        (2, 3, 8, 8)
    """
    candidates: list[Tensor] = []
    amounts: list[Tensor] = []
    for tensor in tree_leaves(batch):
        if tensor.ndim >= 2:
            candidates.append(tensor)
            if tensor.is_floating_point() or tensor.dtype == torch.uint8:
                amounts.append(tensor)
    if not candidates:
        raise TypeError(
            f"probe: found no tensor of inputs in a batch of type {type(batch).__name__}, since none has two axes or "
            "more. Pass `probe=` a tensor (N, C, H, W), or `forward_fn=` an object whose method `inputs(batch)` "
            "returns the inputs, such as ForwardArgs(['image'])."
        )
    return max(amounts or candidates, key=lambda tensor: tensor.ndim)


def fingerprint(samples: Tensor) -> str:
    """A hash of the values, equal for samples that are equal bit for bit.

    Args:
        samples: A tensor of any shape and dtype.

    Returns:
        The 128-bit hash in 32 hexadecimal digits.

    Example:
        >>> import torch
        >>> fingerprint(torch.zeros(2, 3)) == fingerprint(torch.zeros(2, 3)), fingerprint(torch.zeros(2))
        (True, 'c804ce198ec337e3dc762bdd1a09aece')
    """
    data = samples.detach().contiguous().cpu().flatten().view(torch.uint8).numpy()
    return hashlib.blake2b(data.data, digest_size=16).hexdigest()
