"""Models whose ``forward`` takes gradients itself, such as forces that are derivatives of an energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.tree import tree_map


@dataclass
class ForwardNeeds:
    """What the forward passes of a model have turned out to need.

    Attributes:
        gradients: Whether a pass fails while autograd is disabled.
    """

    gradients: bool = False


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
