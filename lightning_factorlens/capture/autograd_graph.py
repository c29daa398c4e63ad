"""Autograd graphs read without their saved tensors: which operation computed a tensor, from which parameter.

Only names, shapes and whole-number arguments of the nodes are read. Saved tensors are never touched, because a hook on
them may compute them anew.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_factorlens._private_api.autograd_nodes import node_input_shapes

#: Operations that change the shape, the type or the choice of rows of a tensor, and not what its entries mean.
NEUTRAL_OPERATIONS = frozenset(
    [
        "Alias",
        "BackwardHookFunction",
        "Cat",
        "Clone",
        "FusedDropout",
        "Index",
        "IndexSelect",
        "MaskedFill",
        "MaskedSelect",
        "NativeDropout",
        "Permute",
        "Reshape",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Split",
        "SplitWithSizes",
        "Squeeze",
        "T",
        "ToCopy",
        "Transpose",
        "Unbind",
        "UnsafeSplit",
        "UnsafeView",
        "Unsqueeze",
        "View",
    ]
)
#: Operations that are neutral where their other operand is a constant or a single number.
ELEMENTWISE_OPERATIONS = frozenset(("Add", "Sub", "Mul", "Div", "Where"))
#: Neutral operations that exchange axes.
PERMUTATIONS = frozenset(("Permute", "T", "Transpose"))
#: Operations by which scores become probabilities. They are left out at the beginning of a signature.
PROBABILITY_OPERATIONS = frozenset(("LogSoftmax", "Softmax", "Sigmoid", "LogSigmoid", "Log"))
#: Largest number of nodes that the search for the nearest parameter visits.
MAX_VISITED = 10_000

#: A node and the index of its output, as autograd refers to a tensor.
Edge = tuple[Any, int]


@dataclass(frozen=True)
class Signature:
    """How a tensor is computed, from the operation that gives it down to the nearest parameter.

    Two tensors with equal signatures are outputs of the same layer. Neutral operations are left out.

    Attributes:
        operations: Names of the operations, the last one first.
        parameter: Name of the parameter; empty for one that is not the model's.
        skipped: Names of the neutral operations behind which the first operation was found.
    """

    operations: tuple[str, ...]
    parameter: str
    skipped: tuple[str, ...] = ()

    @property
    def is_permuted(self) -> bool:
        """Whether axes were exchanged behind the first operation."""
        return not PERMUTATIONS.isdisjoint(self.skipped)

    @property
    def is_compiled(self) -> bool:
        """Whether the tensor was computed by a compiled function, whose operations cannot be seen."""
        return self.operations[:1] == ("CompiledFunction",)

    def matches(self, other: Signature) -> bool:
        """Whether both describe the output of the same layer, scores or probabilities."""
        return self.parameter == other.parameter and _scores(self.operations) == _scores(other.operations)


def _scores(operations: tuple[str, ...]) -> tuple[str, ...]:
    """The operations without those at the beginning that turn scores into probabilities."""
    start = 0
    while start < len(operations) - 1 and operations[start] in PROBABILITY_OPERATIONS:
        start += 1
    return operations[start:]


def operation(node: Any) -> str:
    """The name of a node's operation, such as ``LogSoftmax`` for ``LogSoftmaxBackward0``."""
    name: str = node.name()
    short = re.sub(r"Backward\d*$", "", name.rpartition("::")[2])
    return "BatchNorm" if "BatchNorm" in short else short


def walk_graph(root: Any) -> Iterator[Any]:
    """Every node of a graph, once.

    Args:
        root: The ``grad_fn`` of a tensor.

    Yields:
        The nodes, the root first.
    """
    seen = {root}
    todo = deque([root])
    while todo:
        node = todo.popleft()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                todo.append(following)


def edge_shape(edge: Edge) -> tuple[int, ...] | None:
    """The shape of the tensor that an edge stands for; None where the node does not tell it."""
    node, index = edge
    shapes = node_input_shapes(node)
    return shapes[index] if index < len(shapes) else None


def signature(edge: Edge, parameter_names: Mapping[int, str]) -> Signature | None:
    """The signature of the tensor that an edge stands for.

    Args:
        edge: E.g. ``(tensor.grad_fn, tensor.output_nr)``.
        parameter_names: Name of each parameter of the model by its ``id``.

    Returns:
        The signature; None for a tensor that depends on no parameter.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> names = {id(parameter): name for name, parameter in layer.named_parameters()}
        >>> output = layer(torch.rand(4, 3)) / 2
        >>> signature((output.grad_fn, 0), names)
        Signature(operations=('Addmm',), parameter='bias', skipped=('Div',))
    """
    first, skipped = _skip_neutral(edge)
    seen = {first}
    todo: deque[tuple[Any, tuple[str, ...]]] = deque([(first, ())])
    while todo and len(seen) < MAX_VISITED:
        node, path = todo.popleft()
        variable = getattr(node, "variable", None)
        if variable is not None:
            return Signature(path, parameter_names.get(id(variable), ""), skipped)
        for following in _differentiable(node):
            inner, _ = _skip_neutral(following)
            if inner not in seen:
                seen.add(inner)
                todo.append((inner, (*path, operation(node))))
    return None


def _skip_neutral(edge: Edge) -> tuple[Any, tuple[str, ...]]:
    """The first node that is not neutral, and the names of the neutral ones before it."""
    node = edge[0]
    skipped: list[str] = []
    while True:
        name = operation(node)
        operands = _differentiable(node)
        if name in ELEMENTWISE_OPERATIONS:
            operands = [operand for operand in operands if not _is_single_number(operand)] or operands
            is_neutral = len(operands) == 1
        else:
            is_neutral = name in NEUTRAL_OPERATIONS and len(operands) > 0
        if not is_neutral:
            return node, tuple(skipped)
        skipped.append(name)
        node = operands[0][0]


def _is_single_number(edge: Edge) -> bool:
    shape = edge_shape(edge)
    return shape is not None and math.prod(shape) == 1


def _differentiable(node: Any) -> list[Edge]:
    """The edges to the operands that have a graph themselves; constants have none."""
    return [edge for edge in node.next_functions if edge[0] is not None]
