"""What one layer computes for one sample, and the activation that follows it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.linear_calls import LinearCall
from lightning_factorlens.capture.linear_layers import LinearLayer
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.tracing import TracedCall


class SampleRecorder:
    """Keeps the calls of one layer for one sample, and the first activation after the first of them.

    Args:
        name: Name of the layer.
        n_samples: Samples of the pass.
        row: Position of the sample in the pass.
    """

    def __init__(self, name: str, n_samples: int, row: int) -> None:
        self.name = name
        self.n_samples = n_samples
        self.row = row
        self.layer: LinearLayer | None = None
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.activation: Tensor | None = None
        self.activation_name = "Y + B"
        self.problem = ""

    def keep(self, call: LinearCall) -> None:
        """Keeps a call."""
        if call.layer.name != self.name:
            return
        self.layer = self.layer or call.layer
        if call.inputs is not None:
            self.inputs.append(self._sample(call.inputs))
        if call.outputs is not None:
            self.outputs.append(_channels_second(call.layer, self._sample(call.outputs)))

    def keep_activation(self, call: TracedCall) -> None:
        """Keeps the first activation that has the shape of the layer's output."""
        if self.layer is None or not self.outputs or self.activation is not None or not _is_activation(call):
            return
        output = call.output.detach()
        if len(output) != self.n_samples:
            return
        sample = _channels_second(self.layer, self._sample(output))
        if sample.shape != self.outputs[0].shape:
            return
        self.activation = sample
        kind = call.op if call.module is not None else f"F.{call.op}"
        is_relu = torch.equal(self.outputs[0].relu(), sample)
        self.activation_name = "ReLU(Y + B)" if is_relu else f"next activation: {call.name} ({kind})"

    def _sample(self, values: Tensor) -> Tensor:
        """A copy of one sample: the next layer may overwrite the output."""
        if len(values) != self.n_samples:
            self.problem = f"it gives {len(values)} rows for a pass of {self.n_samples} samples"
            return values[:1].clone()
        values = values[self.row : self.row + 1].clone()
        return values if values.dtype == torch.float64 else values.float()

    def failure(self) -> str:
        """Why the layer cannot be shown position by position; empty if it can."""
        if self.problem:
            return self.problem
        if len({tuple(values.shape) for values in (self.outputs or self.inputs)}) > 1:
            return "it is called with inputs of several sizes"
        return ""

    def mean_inputs(self) -> Tensor | None:
        """Mean over the calls, shape (1, …); None where the inputs are not known."""
        return torch.stack(self.inputs).mean(0) if self.inputs else None

    def mean_outputs(self) -> Tensor:
        """Mean over the calls without bias, shape (1, d, *grid); computed from the inputs where it is not known."""
        assert self.layer is not None
        if self.outputs:
            mean = torch.stack(self.outputs).mean(0)
            return mean if self.layer.bias is None else mean - channel_column(self.layer.bias, mean)
        inputs = self.mean_inputs()
        assert inputs is not None
        return (inputs @ self.layer.weight.weight.to(inputs).T).movedim(-1, 1)


def channel_column(bias: Tensor, outputs: Tensor) -> Tensor:
    """A bias in the shape in which it is added to outputs.

    Args:
        bias: Shape (d,).
        outputs: Shape (n, d, *grid).

    Returns:
        Shape (d, 1, …, 1), with the dtype and device of ``outputs``.
    """
    return bias.to(outputs).view(-1, *[1] * (outputs.ndim - 2))


def _channels_second(layer: LinearLayer, values: Tensor) -> Tensor:
    return values if layer.weight.stride else values.movedim(-1, 1)


def _is_activation(call: TracedCall) -> bool:
    if call.module is None:
        return True
    kind = layer_class(call.module)
    return kind.__module__ == "torch.nn.modules.activation" and kind is not nn.MultiheadAttention
