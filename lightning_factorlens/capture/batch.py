"""The probe as a model takes it: a collated batch of any make, and the tensor in it that counts as the input.

A model is called by a ``(model, batch) → output``. Where that has a method ``inputs(batch)``, it picks the tensor that
is factorised as the input; else `input_of` does. `CallWith` is one for models that want several parts of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

#: Keys under which a batch that is a dict holds its inputs.
INPUT_KEYS = (
    *("image", "images", "img", "imgs", "pixel_values", "x", "input", "inputs"),
    *("input_ids", "tokens", "text", "features", "source", "src"),
)

ForwardFn = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True)
class Batch:
    """N samples as the model is called with them.

    Attributes:
        parts: A tensor, or tensors in dicts, lists and tuples; those of N rows hold a row a sample.
        inputs: The tensor that counts as the input, (N, …).
    """

    data: Any
    inputs: Tensor

    @staticmethod
    def wrap(parts: Any, pick: Callable[[Any], Tensor] | None = None) -> Batch:
        """A batch of what the model takes, or the batch itself.

        Args:
            parts: See the attributes.
            pick: Finds the inputs; `input_of` unless given.
        """
        if isinstance(parts, Batch):
            return parts
        return Batch(parts, parts if pick is None and isinstance(parts, Tensor) else (pick or find_inputs)(parts))

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples."""
        n, inputs = len(self), self.inputs[rows]

        def cut(part: Any) -> Any:
            """Rows of what has N of them."""
            if part is self.inputs:
                return inputs
            long = (isinstance(part, Tensor) and part.ndim > 0) or isinstance(part, list)
            return part[rows] if long and len(part) == n else part

        return Batch(tree_map(cut, self.data), inputs)

    def split(self, size: int) -> Iterator[Batch]:
        """Batches of at most ``size`` samples."""
        return (self[i : i + size] for i in range(0, len(self), size))

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        inputs = self.inputs.to(device)

        def move(part: Any) -> Any:
            """A tensor there, anything else as it is."""
            return inputs if part is self.inputs else part.to(device) if isinstance(part, Tensor) else part

        return Batch(tree_map(move, self.data), inputs)

    def with_inputs(self, inputs: Tensor) -> Batch | None:
        """The same with other inputs; None where they are no part of the batch but were made from it."""
        if not any(part is self.inputs for part in tree_leaves(self.data)):
            return None
        return Batch(tree_map(lambda part: inputs if part is self.inputs else part, self.data), inputs)


@dataclass(frozen=True)
class ForwardArgs:
    """Calls a model, or a part of it, with parts of the batch.

    Example:
        >>> CallWith(["image", "mask"])  # model(batch["image"], batch["mask"])  # doctest: +SKIP
        >>> CallWith([0], target="discriminator")  # model.discriminator(batch[0])  # doctest: +SKIP

    Attributes:
        arguments: Keys or positions in the batch; ``"0.1"`` is the second part of the first. The first of them counts
            as the input.
        keywords: The same by the name of the argument.
        target: Path of the module or method that is called in the model's place.
    """

    arguments: Sequence[str | int] = (0,)
    keywords: Mapping[str, str | int] = field(default_factory=dict)
    target: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.arguments, str) or not (self.arguments or self.keywords):
            raise ValueError(f"arguments: must be a list of keys or positions, at least one, found {self.arguments!r}.")

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """The output."""
        called = attrgetter(self.target)(model) if self.target else model
        keywords = {name: _part(batch, key) for name, key in self.keywords.items()}
        return called(*(_part(batch, key) for key in self.arguments), **keywords)

    def inputs(self, batch: Any) -> Tensor:
        """The first argument."""
        found = _part(batch, next(iter([*self.arguments, *self.keywords.values()])))
        return found if isinstance(found, Tensor) else find_inputs(found)


def check_forward_fn(call: Any) -> ForwardFn | None:
    """The call itself.

    Raises:
        TypeError: Something that cannot be called, or a class in place of an object.
    """
    if call is not None and (not callable(call) or isinstance(call, type)):
        raise TypeError(f"call: found {call!r}; give a function (model, batch) → output or an object like CallWith().")
    return call


def _part(batch: Any, key: str | int) -> Any:
    """One part of a batch by its path. A batch that is a bare tensor is its own first part."""
    for step in str(key).split("."):
        if isinstance(batch, Tensor):
            return batch
        try:
            batch = batch[step] if isinstance(batch, Mapping) else batch[int(step)]
        except (KeyError, IndexError, ValueError) as error:
            there = list(batch) if isinstance(batch, Mapping) else f"positions 0 to {len(batch) - 1}"
            raise ValueError(f"arguments: found no {key!r} in the batch; there are: {there}.") from error
    return batch


def find_inputs(batch: Any) -> Tensor:
    """The inputs of a batch, its labels dropped.

    The floating-point (or uint8) tensor with the most axes, at least two; where there is none, a tensor of whole
    numbers with at least two axes: token ids. Among equals one named like an input wins, then the first.

    Raises:
        TypeError: There is none.
    """
    found = [t for t in tree_leaves(batch) if t.ndim >= 2]
    numbers = [t for t in found if t.is_floating_point() or t.dtype == torch.uint8]
    if not found:
        raise TypeError(
            f"probe: found no tensor of inputs in a batch of type {type(batch).__name__}: none has rows of numbers. "
            "Pass `probe=` a tensor (N, C, H, W), or `call=` an object that says which part of the batch it is."
        )
    return max(numbers or found, key=lambda t: t.ndim)


def fingerprint(samples: Tensor) -> str:
    """Equal for samples that are equal bit for bit."""
    data = samples.detach().contiguous().cpu().flatten().view(torch.uint8).numpy()
    return hashlib.blake2b(data.data, digest_size=16).hexdigest()


def tree_leaves(batch: Any) -> Iterator[Tensor]:
    """Every tensor of a batch; in a dict those named like an input first."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for key in sorted(batch, key=lambda k: str(k) not in INPUT_KEYS):  # stable: the others keep their order
            yield from tree_leaves(batch[key])
    elif isinstance(batch, (tuple, list)):
        for part in batch:
            yield from tree_leaves(part)


def tree_map(function: Callable[[Any], Any], batch: Any) -> Any:
    """The batch with ``function`` of everything in it that is no dict, tuple, or list of tensors."""
    if isinstance(batch, Mapping):
        parts = {key: tree_map(function, part) for key, part in batch.items()}
        return parts if type(batch) is dict else type(batch)(parts)  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(tree_map(function, part) for part in batch))
    if isinstance(batch, tuple) or (
        isinstance(batch, list) and any(isinstance(p, (Tensor, Mapping, tuple, list)) for p in batch)
    ):
        return type(batch)(tree_map(function, part) for part in batch)
    return function(batch)
