"""The terms of a training step's loss, read from its autograd graph: which losses are taken, and of which tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning_factorlens._private_api.autograd_nodes import node_dim
from lightning_factorlens.capture.autograd_graph import Edge, Signature, edge_shape, operation, signature, walk_graph

#: Operation → the kind of output that it is taken of, and its name in words.
LOSSES: dict[str, tuple[str, str]] = {
    "LogSoftmax": ("classes", "cross-entropy"),
    "NllLoss": ("classes", "negative log-likelihood"),
    "NllLoss2D": ("classes", "negative log-likelihood"),
    "Softmax": ("classes", "softmax"),
    "BinaryCrossEntropyWithLogits": ("multilabel", "binary cross-entropy"),
    "BinaryCrossEntropy": ("multilabel", "binary cross-entropy"),
    "LogSigmoid": ("multilabel", "binary cross-entropy"),
    "MseLoss": ("regression", "squared error"),
    "Pow": ("regression", "squared error"),
    "Abs": ("regression", "absolute error"),
    "L1Loss": ("regression", "absolute error"),
    "SmoothL1Loss": ("regression", "smooth absolute error"),
    "HuberLoss": ("regression", "Huber loss"),
}
#: Operations that are an error only where they are taken of a difference.
OF_DIFFERENCES = frozenset(("Pow", "Abs"))
#: Operations whose classes are along axis 1.
CLASSES_FIRST = frozenset(("NllLoss", "NllLoss2D"))


@dataclass(frozen=True)
class LossTerm:
    """One loss of a tensor.

    Attributes:
        kind: The kind of output that the loss is for: ``"classes"``, ``"multilabel"`` or ``"regression"``.
        operation: Name of the operation, a key of `LOSSES`.
        signature: How the tensor is computed.
        shape: The tensor's shape in the training step; None where it is unknown.
        axis: The axis of the classes, from 0; None for other kinds.
    """

    kind: str
    operation: str
    signature: Signature
    shape: tuple[int, ...] | None
    axis: int | None = None

    @property
    def loss(self) -> str:
        """The loss in words."""
        return LOSSES[self.operation][1]

    def class_axis(self, shape: tuple[int, ...]) -> int | None:
        """The axis of the classes in a part of the model's output that is the tensor of this term.

        Args:
            shape: Shape of the part, samples first. It may differ from the term's: (N, T, V) may have been viewed as
                (N·T, V), or its axes exchanged.

        Returns:
            The axis, at least 1; None where the number of classes is another one.
        """
        if self.shape is None or self.axis is None:
            return None
        for axis in self._possible_axes(len(self.shape), len(shape) - 1):
            if 1 <= axis < len(shape) and shape[axis] == self.shape[self.axis]:
                return axis
        return None

    def _possible_axes(self, n_axes: int, last: int) -> tuple[int, ...]:
        """The axes of the part that may be the term's ``axis``, the likeliest first; ``last`` is its last axis."""
        assert self.axis is not None
        is_last = self.axis == n_axes - 1
        if not self.signature.is_permuted:
            if n_axes == last + 1:
                return (self.axis,)
            return (last,) if is_last else ()
        if last == 1:
            return (1 - self.axis,) if n_axes == 2 else ()
        return (1, last) if is_last else (last, 1)  # the classes were first and are now last, or the other way round


@dataclass(frozen=True)
class LossGraph:
    """What the graph of a training step's loss shows.

    Attributes:
        terms: Its losses.
        is_opaque: Whether it holds a function whose operations cannot be seen, as that of ``torch.compile``.
    """

    terms: frozenset[LossTerm] = frozenset()
    is_opaque: bool = False

    def join(self, other: LossGraph) -> LossGraph:
        """The terms of both."""
        return LossGraph(self.terms | other.terms, self.is_opaque or other.is_opaque)


def read_loss_graph(grad_fn: Any, parameter_names: Mapping[int, str]) -> LossGraph:
    """Finds the losses in a graph; saved tensors are not touched.

    Args:
        grad_fn: The loss's ``grad_fn``.
        parameter_names: Name of each parameter of the model by its ``id``.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 2)
        >>> names = {id(parameter): name for name, parameter in model.named_parameters()}
        >>> loss = torch.nn.functional.cross_entropy(model(torch.rand(4, 3)) / 2, torch.tensor([0, 1, 0, 1]))
        >>> sorted((term.loss, term.signature.parameter) for term in read_loss_graph(loss.grad_fn, names).terms)
        [('cross-entropy', 'bias')]
    """
    terms = set()
    is_opaque = False
    for node in walk_graph(grad_fn):
        name = operation(node)
        is_opaque = is_opaque or name in ("CompiledFunction", "DifferentiableGraph")
        if name in LOSSES:
            for edge in node.next_functions:
                term = _read_term(node, name, edge, parameter_names) if edge[0] is not None else None
                if term is not None:
                    terms.add(term)
    return LossGraph(frozenset(terms), is_opaque)


def _read_term(node: Any, name: str, edge: Edge, parameter_names: Mapping[int, str]) -> LossTerm | None:
    """The loss of one operand; None where it is none of the model's output."""
    found = signature(edge, parameter_names)
    if found is None or not found.operations:
        return None
    if name in OF_DIFFERENCES and "Sub" not in found.skipped:
        return None
    if name in CLASSES_FIRST and found.operations[0] == "LogSoftmax":
        return None  # the term of that log-softmax tells more
    kind = LOSSES[name][0]
    shape = edge_shape(edge)
    axis = None
    if kind == "classes" and shape is not None:
        axis = 1 if name in CLASSES_FIRST else node_dim(node, len(shape))
    return LossTerm(kind, name, found, shape, axis)
