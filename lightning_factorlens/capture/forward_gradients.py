"""Autograd in forward passes: models that take gradients themselves, such as forces, and graphs without tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from lightning_factorlens.batches.tree import tree_map


@dataclass
class ForwardNeeds:
    """What the forward passes of a model have turned out to need.

    Attributes:
        gradients: Whether a pass fails while autograd is disabled.
        whole_passes: Whether passes of fewer samples give other outputs; None before that was tried.
    """

    gradients: bool = False
    whole_passes: bool | None = None


def lacks_gradients(error: BaseException) -> bool:
    """Whether an error says that a tensor of a forward pass does not require gradients.

    Args:
        error: What the forward pass raised.

    Returns:
        True for the errors of ``torch.autograd.grad`` and ``backward`` where autograd is disabled.

    Example:
        >>> with torch.no_grad():
        ...     try:
        ...         (torch.ones(1) * 2).backward()
        ...     except RuntimeError as error:
        ...         lacks_gradients(error)
        True
    """
    return isinstance(error, RuntimeError) and "does not require grad" in str(error).replace("do not", "does not")


def detach_output(output: Any) -> Any:
    """A model's output without its autograd graph.

    Args:
        output: A tensor, or tensors in dictionaries, lists and tuples.

    Returns:
        A copy of the structure with detached tensors.

    Example:
        >>> detach_output([torch.ones(2, requires_grad=True)])[0].requires_grad
        False
    """

    def detach(part: Any) -> Any:
        return part.detach() if isinstance(part, Tensor) else part

    return tree_map(detach, output) if torch.is_grad_enabled() else output


@contextmanager
def graph_without_tensors() -> Iterator[None]:
    """Inside, autograd records which operations compute a tensor, and keeps no tensor for the backward pass.

    Memory then holds as much as without gradients. A backward pass through such a graph raises an error.

    Yields:
        Nothing.

    Example:
        >>> with graph_without_tensors():
        ...     result = (torch.ones(2, requires_grad=True) ** 2).sum()
        >>> result.grad_fn.name()
        'SumBackward0'
    """
    with torch.autograd.graph.saved_tensors_hooks(_drop, _refuse):
        yield


def _drop(_: Tensor) -> None:
    """Keeps nothing."""


def _refuse(_: None) -> NoReturn:
    raise RuntimeError("this graph was recorded without the tensors that a backward pass needs.")
