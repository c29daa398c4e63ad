"""The network inside of what Lightning Fabric and data parallelism put around it.

Layers are named as in the network that the user wrote, so that runs with and without these wrappers can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from lightning_factorlens._private_api.compiled_modules import compiled_module
from lightning_factorlens._private_api.wrapped_modules import FabricModule, fabric_module
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.sharded_parameters import is_fsdp1


def unwrap_model(model: nn.Module, forward_fn: ForwardFn | None) -> tuple[nn.Module, ForwardFn | None]:
    """The network that a user passed to ``fabric.setup``, to ``DistributedDataParallel`` or to ``DataParallel``.

    Passes of data parallel wrappers exchange buffers between the processes, which an observation does not need. FSDP's
    wrapper has to stay, since the parameters are whole in its passes alone.

    Args:
        model: Any module.
        forward_fn: How it is called, see `FactorLens`.

    Returns:
        The network and how it is called, for a network of Fabric in Fabric's precision; otherwise the arguments.

    Example:
        >>> network = nn.Linear(3, 2)
        >>> unwrap_model(DataParallel(network), None)
        (Linear(in_features=3, out_features=2, bias=True), None)
    """
    wrapped = fabric_module(model)
    if wrapped is not None:
        if any(is_fsdp1(module) for module in wrapped.forward_module.modules()):
            return wrapped.forward_module, FabricForward(wrapped, forward_fn)
        network, forward_fn = unwrap_model(wrapped.original_module, forward_fn)
        return network, FabricForward(wrapped, forward_fn)
    if isinstance(model, (DataParallel, DistributedDataParallel)):
        return unwrap_model(model.module, forward_fn)
    compiled = compiled_module(model)
    if compiled is not None:  # only to reach a wrapper inside
        network, unwrapped_fn = unwrap_model(compiled, forward_fn)
        if network is not compiled:
            return network, unwrapped_fn
    return model, forward_fn


@dataclass(frozen=True)
class FabricForward:
    """Calls a network as the module that Fabric has made of it: in Fabric's precision.

    Attributes:
        wrapped: The parts of Fabric's module.
        forward_fn: The user's ``(model, batch) → output``; None calls the network on the inputs.
    """

    wrapped: FabricModule
    forward_fn: ForwardFn | None

    @property
    def takes_inputs_alone(self) -> bool:
        """Whether the network receives the inputs of a batch and nothing else of it."""
        return self.forward_fn is None

    def inputs(self, batch: Any) -> Inputs:
        """The tensor of the batch that counts as the input."""
        pick = getattr(self.forward_fn, "inputs", find_inputs)
        inputs: Inputs = pick(batch)
        return inputs

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """Calls the network.

        Args:
            model: The network.
            batch: A batch, or its inputs where ``takes_inputs_alone``.

        Returns:
            The output, in the dtype in which Fabric returns it.
        """
        precision = self.wrapped.precision
        converted = precision.convert_input(batch)
        with precision.forward_context():
            output = model(converted) if self.forward_fn is None else self.forward_fn(model, converted)
        return precision.convert_output(output)
