"""The outputs of a layer by unit: which axis counts units, and which count positions."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_factorlens._private_api.modules import ConvolutionBase
from lightning_factorlens.capture.tracing import TracedCall


class UnitAxis:
    """Finds the axis of the units in the outputs of a forward pass; it must see every call in order.

    It is that of the last convolution or linear layer whose output had as many axes and as many units: 1 behind a
    convolution, the last one behind a linear layer. Without such a layer it is axis 1, and the last one of outputs
    (n, tokens, units).

    Example:
        >>> import torch
        >>> from lightning_factorlens.capture.tracing import trace_calls
        >>> model, axis, shapes = nn.Sequential(nn.Linear(7, 5), nn.GELU()), UnitAxis(), []
        >>> with trace_calls(model, lambda call: shapes.append(tuple(axis.maps(call, call.output).shape))):
        ...     _ = model(torch.rand(2, 4, 4, 7))
        >>> shapes[1]
        (2, 5, 4, 4)
    """

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None  # number of axes, axis of the units, number of units

    def note(self, call: TracedCall) -> None:
        """Sees a call."""
        n_axes = call.output.ndim
        if isinstance(call.module, nn.Linear):
            self._last = (n_axes, n_axes - 1, call.output.shape[-1])
        elif isinstance(call.module, ConvolutionBase) and n_axes > 1:
            self._last = (n_axes, 1, call.output.shape[1])

    def maps(self, call: TracedCall, output: Tensor) -> Tensor:
        """Sees a call, and gives its output, or a copy of it, with the units on axis 1 and the positions behind them.

        Args:
            call: The call.
            output: Shape (n, …).

        Returns:
            A view of shape (n, units, …).

        Raises:
            ValueError: An output without an axis of units.
        """
        self.note(call)
        if output.ndim < 2:
            raise ValueError(
                f"layer: the output of {call.name!r} has the shape {tuple(output.shape)} and no axis of units; choose "
                "another layer."
            )
        axis = output.ndim - 1 if output.ndim == 3 else 1
        if self._last is not None:
            n_axes, last_axis, n_units = self._last
            if n_axes == output.ndim and output.shape[last_axis] == n_units:
                axis = last_axis
        return output.movedim(axis, 1)


def strongest_values(maps: Tensor) -> Tensor:
    """The largest value of every unit over the positions, shape (n, units).

    Args:
        maps: Shape (n, units, positions, …) or (n, units).
    """
    return maps.amax(tuple(range(2, maps.ndim))) if maps.ndim > 2 else maps.clone()
