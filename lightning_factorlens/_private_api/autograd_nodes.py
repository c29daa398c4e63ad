"""What the nodes of an autograd graph say of their operations."""

from __future__ import annotations

from typing import Any


def node_input_shapes(node: Any) -> list[tuple[int, ...]]:
    """The shapes of the tensors that a node of an autograd graph has computed; empty where it does not tell them."""
    return [tuple(map(int, metadata.shape)) for metadata in getattr(node, "_input_metadata", ())]


def node_dim(node: Any, n_axes: int) -> int | None:
    """The argument ``dim`` of the operation of an autograd node, from 0; None where it has none."""
    dim = getattr(node, "_saved_dim", None)
    if not isinstance(dim, int):
        return None
    if dim >= 2**63:  # a negative number, given back without its sign
        dim -= 2**64
    return dim % n_axes if n_axes else None


def node_argument(node: Any, name: str) -> Any:
    """An argument of the operation of an autograd node that is a number or a tuple of them; None where it has none.

    Args:
        node: The node.
        name: Name of the argument in torch's functions, such as ``"kernel_size"``.
    """
    return getattr(node, f"_saved_{name}", None)
