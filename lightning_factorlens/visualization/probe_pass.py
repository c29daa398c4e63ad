"""One forward pass of a probe, of which every layer's output is reduced while the pass runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import clone
from lightning_factorlens.batches.merge import merge_batches
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.capture.parameter_values import check_parameter_values
from lightning_factorlens.capture.tracing import ACTIVATION_FUNCTIONS, TracedCall, trace_calls
from lightning_factorlens.visualization.layer_reader import LayerReader

#: Calls a model on the data of a batch.
Forward = Callable[[Any], Any]
Read = TypeVar("Read")


def bind_forward(model: nn.Module, forward_fn: ForwardFn | None) -> Forward:
    """What calls a model on the data of a batch; a model that overwrites its input does not change the probe.

    Args:
        model: The model.
        forward_fn: ``(model, batch) → output``; None calls the model on the batch.

    Raises:
        ValueError: The model has parameters without values.
    """
    check_parameter_values(model)

    def forward(data: Any) -> Any:
        """One call."""
        copy = tree_map(clone, data)
        return model(copy) if forward_fn is None else forward_fn(model, copy)

    return forward


def read_calls(
    model: nn.Module, probe: Probe, read: Callable[[TracedCall], Read | None], forward: Forward
) -> list[dict[str, Read]]:
    """Passes a probe through a model without gradients and keeps what is read out of every call.

    Args:
        model: The model, inside `isolate_model`.
        probe: N samples.
        read: Reduces the output of a call; None keeps nothing. It must copy what it keeps of the output itself, which
            the next layer may overwrite.
        forward: Calls the model.

    Returns:
        For each pass, in the order of the samples, what was read by the names of the calls.
    """
    passes: list[dict[str, Read]] = []

    def run(part: Batch, _: int) -> None:
        """One pass; it is begun anew, with fewer samples, where memory does not suffice."""
        found: dict[str, Read] = {}

        def keep(call: TracedCall) -> None:
            result = read(call)
            if result is not None:
                found[call.name] = result

        with trace_calls(model, keep):
            forward(part.data)
        passes.append(found)

    start = 0
    with torch.no_grad():
        while start < len(probe):
            start += run_pass(probe, run, start)
    return passes


def read_layers(
    model: nn.Module, probe: Probe, layers: Collection[str], read: Callable[[str, Tensor], Read], forward: Forward
) -> list[dict[str, Read]]:
    """`read_calls` for layers whose names are known: faster where all are modules, since no other call is looked at.

    Args:
        model: The model, inside `isolate_model`.
        probe: N samples.
        layers: Names of calls.
        read: Reduces the output of a layer, given its name.
        forward: Calls the model.
    """
    passes: list[dict[str, Read]] = []
    with torch.no_grad(), LayerReader(model, forward, layers, None) as reader:

        def run(part: Batch, _: int) -> None:
            """One pass; it is begun anew, with fewer samples, where memory does not suffice."""
            found: dict[str, Read] = {}

            def keep(name: str, output: Tensor) -> None:
                found[name] = read(name, output)

            reader.run(part.data, keep)
            passes.append(found)

        start = 0
        while start < len(probe):
            start += run_pass(probe, run, start)
    return passes


def is_activation(call: TracedCall) -> bool:
    """Whether a call is that of an activation function: a module of torch's, or a function."""
    if call.module is None:
        return call.op in ACTIVATION_FUNCTIONS
    return layer_class(call.module).__module__ == nn.ReLU.__module__


def check_layer(layer: str, found: list[str]) -> None:
    """Checks that a forward pass has a layer of this name.

    Args:
        layer: The name.
        found: The names of all calls.

    Raises:
        ValueError: There is no such call.
    """
    if layer not in found:
        raise ValueError(f"layer: no call is named {layer!r}; the forward pass has {', '.join(map(repr, found))}.")


def check_layers(layers: Collection[str] | None) -> list[str] | None:
    """Checks the names of the layers that a caller wants.

    Args:
        layers: The names; None for the default of the caller.

    Returns:
        The names.

    Raises:
        ValueError: No name, or something else than a list of names.

    Example:
        >>> check_layers("conv1")
        Traceback (most recent call last):
        ValueError: layers: must be a list with at least one name of a layer, or None, found 'conv1'.
    """
    if layers is None:
        return None
    names = [] if isinstance(layers, str) or not isinstance(layers, Collection) else list(layers)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"layers: must be a list with at least one name of a layer, or None, found {layers!r:.200}.")
    return names


def check_no_nan(layer: str, values: Tensor) -> Tensor:
    """The values, none of which may be NaN: a unit would count as inactive, or an image as its strongest.

    Args:
        layer: Name of the layer.
        values: Its outputs, or what was made of them, any shape.

    Returns:
        ``values`` itself.

    Raises:
        ValueError: A value is NaN.
    """
    if bool(values.isnan().any()):
        raise ValueError(
            f"layer: the outputs of {layer!r} have NaN; remove such values from the probe, or check the weights."
        )
    return values


def select_samples(samples: Probe, rows: Sequence[int]) -> Batch:
    """Some samples as one batch.

    Args:
        samples: The probe.
        rows: Positions of the samples, in the order of the batch.

    Raises:
        ValueError: They cannot be joined.
    """
    joined = merge_batches([samples.part(row, 1) for row in rows])
    if joined is None:
        raise ValueError(
            "probe: its samples cannot be chosen one by one and joined; give images of one size as one tensor."
        )
    return joined
