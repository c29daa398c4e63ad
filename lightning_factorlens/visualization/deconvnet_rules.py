"""The rules of a deconvnet as hooks on the autograd graph of a forward pass.

Three ways were compared. Hooks on modules, as Captum has them, miss functional calls. A `TorchFunctionMode` that puts
functions with another backward in the place of ReLU and pooling changes what the model calls, and misses calls from
scripted modules. The autograd graph has a node for every operation, whoever has called it: the forward pass stays the
model's own, in-place operations included, and what has no rule is found by its name instead of being passed silently.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor

from lightning_factorlens._private_api.autograd_nodes import node_argument
from lightning_factorlens.capture.autograd_graph import operation, walk_graph
from lightning_factorlens.visualization.deconvnet_operations import (
    BILINEAR_OPERATIONS,
    LINEAR_OPERATIONS,
    MAX_POOLINGS,
    RECTIFIERS,
    SUPPORTED,
)
from lightning_factorlens.visualization.unpooling import adaptive_regions, spread_to_regions, window_regions

Unpool = Literal["switches", "regions"]


class UnsupportedOperationError(ValueError):
    """An operation for which a deconvnet has no rule."""


def install_rules(output: Tensor, leaf: Tensor, unpool: Unpool) -> None:
    """Lets the backward pass from a layer to the inputs follow the rules of a deconvnet.

    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", section 2.1: what is passed back
    through a ReLU is rectified, whatever the ReLU's own input was; a max pooling passes it to the maximum of each
    region (``"switches"``), or to the whole region (``"regions"``); all else is transposed.

    Args:
        output: The output of a layer, in the graph.
        leaf: The inputs, a leaf of the graph.
        unpool: What max poolings do.

    Raises:
        UnsupportedOperationError: An operation between inputs and layer that is none of `SUPPORTED`.
        ValueError: The output does not depend on the inputs.
    """
    nodes = _nodes_between(output, leaf)
    for node in nodes:
        _check_operation(node, nodes)
    for node in nodes:
        name = operation(node)
        if name in RECTIFIERS:
            node.register_hook(_rectify)
        elif name in MAX_POOLINGS and unpool == "regions":
            node.register_hook(partial(_unpool_to_regions, _region_maker(node), MAX_POOLINGS[name]))


def _nodes_between(output: Tensor, leaf: Tensor) -> set[Any]:
    """The nodes of the graph through which the output depends on the leaf.

    Raises:
        ValueError: There are none.
    """
    users: dict[Any, list[Any]] = {}
    ends = []
    for node in walk_graph(output.grad_fn) if output.grad_fn is not None else ():
        if getattr(node, "variable", None) is leaf:
            ends.append(node)
        for operand, _ in node.next_functions:
            users.setdefault(operand, []).append(node)
    if not ends:
        raise ValueError("layer: its output does not depend on the inputs in a way that autograd can see.")
    between: set[Any] = set()
    todo = list(users.get(ends[0], ()))
    while todo:
        node = todo.pop()
        if node not in between:
            between.add(node)
            todo += users.get(node, ())
    return between | set(ends)


def _check_operation(node: Any, nodes: set[Any]) -> None:
    """Raises UnsupportedOperationError for an operation without a rule.

    Args:
        node: The operation.
        nodes: All operations between inputs and layer.
    """
    name = operation(node)
    varying = [index for index, (operand, _) in enumerate(node.next_functions) if operand in nodes]
    reason = ""
    if name in RECTIFIERS:
        argument = node_argument(node, RECTIFIERS[name]) if RECTIFIERS[name] else 0
        is_known = not isinstance(argument, Tensor) and argument == 0
        reason = "" if is_known else f" with a bound of {argument}"
    elif name in BILINEAR_OPERATIONS:
        if len(varying) > 1 or not set(varying) <= set(BILINEAR_OPERATIONS[name]):
            reason = " of operands that both depend on the inputs"
        elif node_argument(node, "training"):
            reason = " with the statistics of the batch"
    elif name not in LINEAR_OPERATIONS and name not in MAX_POOLINGS and name != "torch::autograd::AccumulateGrad":
        reason = " "
    if reason and getattr(node, "variable", None) is None:
        raise UnsupportedOperationError(
            f"layer: between the inputs and the layer lies the operation {name}{reason.rstrip()}, for which a "
            f"deconvnet has no rule; it has rules for {SUPPORTED}. Choose a layer before that operation."
        )


def _rectify(_: tuple[Tensor | None, ...], grad_outputs: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The rule of a rectifier: what is passed back is rectified, not masked by the ReLU's input."""
    passed = grad_outputs[0]
    return (None if passed is None else passed.clamp_min(0),)


def _unpool_to_regions(
    make_regions: Callable[[int, int, int], Tensor],
    n_axes: int,
    grad_inputs: tuple[Tensor | None, ...],
    grad_outputs: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...]:
    """The rule of a max pooling without switches.

    Args:
        make_regions: See `_region_maker`.
        n_axes: Number of its axes.
        grad_inputs: What its own backward pass would pass to its input.
        grad_outputs: What is passed back to its output.
    """
    passed, original = grad_outputs[0], grad_inputs[0]
    if passed is None or original is None:
        return grad_inputs
    regions = []
    for axis in range(n_axes):
        n_inputs = original.shape[axis - n_axes]
        n_outputs = passed.shape[axis - n_axes]
        regions.append(make_regions(axis, n_inputs, n_outputs))
    return (spread_to_regions(passed, regions),)


def _region_maker(node: Any) -> Callable[[int, int, int], Tensor]:
    """Makes the regions of a max pooling along one of its axes, from the lengths of its input and output."""
    kernel = node_argument(node, "kernel_size")
    stride = node_argument(node, "stride") or kernel
    padding = node_argument(node, "padding")
    dilation = node_argument(node, "dilation")

    def make(axis: int, n_inputs: int, n_outputs: int) -> Tensor:
        """The regions along one axis."""
        if kernel is None:
            return adaptive_regions(n_inputs, n_outputs)
        return window_regions(n_inputs, n_outputs, kernel[axis], stride[axis], padding[axis], dilation[axis])

    return make
