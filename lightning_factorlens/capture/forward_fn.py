"""How a model is called on a batch, where it takes more of the batch than the input alone.

A model is called by a function ``(model, batch) → output``. If that has a method ``inputs(batch)``, it selects the
tensor that is factorised as the input; otherwise `find_inputs` does. `ForwardArgs` is such an object for models that
take several parts of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from lightning_factorlens.batches.batch_objects import is_record, record_fields
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs

ForwardFn = Callable[[nn.Module, Any], Any]


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
        """Calls the model.

        Args:
            model: The model; its part ``target`` is called if there is one.
            batch: Tensors in dictionaries, lists and tuples.

        Returns:
            The output of the model.

        Raises:
            ValueError: The batch has no such part.
        """
        called: Callable[..., Any] = model
        if self.target:
            called = attrgetter(self.target)(model)
        arguments = [_part(batch, key) for key in self.arguments]
        keywords = {name: _part(batch, key) for name, key in self.keywords.items()}
        return called(*arguments, **keywords)

    def inputs(self, batch: Any) -> Inputs:
        """The tensor of the batch that counts as the input: the first argument, or what `find_inputs` finds in it."""
        keys = [*self.arguments, *self.keywords.values()]
        first = _part(batch, keys[0])
        if isinstance(first, Tensor):
            return first
        return find_inputs(first)


def check_forward_fn(forward_fn: Any) -> ForwardFn | None:
    """Checks the argument ``forward_fn``.

    Args:
        forward_fn: A function ``(model, batch) → output``, or None to call the model itself.

    Returns:
        The argument.

    Raises:
        TypeError: Something that cannot be called, or a class in place of an object.

    Example:
        >>> check_forward_fn(ForwardArgs([0])).arguments
        [0]
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
            if is_record(batch):
                batch = record_fields(batch)
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
