"""The probe as a model takes it: a collated batch of any structure, and the tensor in it that counts as the input.

A model is called by a function ``(model, batch) → output``. If that has a method ``inputs(batch)``, it selects the
tensor that is factorised as the input; otherwise `find_inputs` does. `ForwardArgs` is such an object for models that
take several parts of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.tree import tree_leaves, tree_map

ForwardFn = Callable[[nn.Module, Any], Any]


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
        """Makes a batch of what the model takes; a batch is returned as it is.

        Args:
            data: See the attributes.
            pick: Finds the inputs in ``data``; `find_inputs` unless given.
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
        """The same batch with its tensors on another device."""
        inputs = self.inputs.to(device)

        def move(part: Any) -> Any:
            if part is self.inputs:
                return inputs
            if isinstance(part, Tensor):
                return part.to(device)
            return part

        return Batch(tree_map(move, self.data), inputs)

    def with_inputs(self, inputs: Tensor) -> Batch | None:
        """The same batch with other inputs; None if the inputs are no part of the batch but were computed from it."""
        n_replaced = 0

        def replace(part: Any) -> Any:
            nonlocal n_replaced
            if part is not self.inputs:
                return part
            n_replaced += 1
            return inputs

        data = tree_map(replace, self.data)
        return Batch(data, inputs) if n_replaced else None


@dataclass(frozen=True)
class ForwardArgs:
    """Calls a model, or a part of it, with parts of the batch.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> call = ForwardArgs(["left", "right"])  # model(batch["left"], batch["right"])
        >>> batch = {"left": torch.rand(2, 3), "right": torch.rand(2, 3), "label": torch.zeros(2)}
        >>> tuple(call(nn.CosineSimilarity(), batch).shape)
        (2,)
        >>> call = ForwardArgs([0], target="discriminator")  # model.discriminator(batch[0])

    Attributes:
        arguments: Keys or positions in the batch; ``"0.1"`` is the second part of the first. The first of them counts
            as the input.
        keywords: Keys or positions by the name of the keyword argument.
        target: Path of the module or method that is called in place of the model; empty for the model itself.
    """

    arguments: Sequence[str | int] = (0,)
    keywords: Mapping[str, str | int] = field(default_factory=dict)
    target: str = ""

    def __post_init__(self) -> None:
        is_list = isinstance(self.arguments, (list, tuple)) and isinstance(self.keywords, Mapping)
        if not is_list or not (self.arguments or self.keywords):
            raise ValueError(
                f"arguments: must be a list of keys or positions, at least one, found {self.arguments!r}; "
                "write ForwardArgs(['image']) for model(batch['image'])."
            )
        if not isinstance(self.target, str):
            raise ValueError(f"target: must be the path of a module or method, such as 'net', found {self.target!r}.")

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """The output of the model.

        Raises:
            ValueError: The batch has no such part.
        """
        called: Callable[..., Any] = model
        if self.target:
            called = attrgetter(self.target)(model)
        arguments = [_part(batch, key) for key in self.arguments]
        keywords = {name: _part(batch, key) for name, key in self.keywords.items()}
        return called(*arguments, **keywords)

    def inputs(self, batch: Any) -> Tensor:
        """The tensor of the batch that counts as the input: the first argument, or the one that is found in it."""
        keys = [*self.arguments, *self.keywords.values()]
        first = _part(batch, keys[0])
        if isinstance(first, Tensor):
            return first
        return find_inputs(first)


def check_forward_fn(forward_fn: Any) -> ForwardFn | None:
    """Checks the argument ``forward_fn`` and returns it.

    Raises:
        TypeError: Something that cannot be called, or a class in place of an object.
    """
    if forward_fn is not None and (not callable(forward_fn) or isinstance(forward_fn, type)):
        raise TypeError(
            f"forward_fn: found {forward_fn!r}; give a function (model, batch) → output, or an object such as "
            "ForwardArgs(['image', 'mask'])."
        )
    return forward_fn


def _part(batch: Any, key: str | int) -> Any:
    """One part of a batch by its path. A batch that is a bare tensor is its own first part."""
    for step in str(key).split("."):
        if isinstance(batch, Tensor):
            return batch
        try:
            if isinstance(batch, Mapping):
                allowed = str(list(batch))
                batch = batch[step]
            else:
                allowed = f"positions 0 to {len(batch) - 1}"
                batch = batch[int(step)]
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"arguments: found no {key!r} in the batch; there are: {allowed}. Change the key, or the batch that "
                "the data loader makes."
            ) from error
    return batch


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

    Example:
        >>> import torch
        >>> fingerprint(torch.zeros(2, 3)) == fingerprint(torch.zeros(2, 3)), fingerprint(torch.zeros(2))
        (True, 'c804ce198ec337e3dc762bdd1a09aece')
    """
    data = samples.detach().contiguous().cpu().flatten().view(torch.uint8).numpy()
    return hashlib.blake2b(data.data, digest_size=16).hexdigest()
