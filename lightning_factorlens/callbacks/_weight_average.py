"""The average of a module's weights over the later epochs of a training, kept in one copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

#: The exponent η: epoch s has a weight that grows like s^η, so that the weights are as old in the mean as those of
#: the plain mean over the later half of the epochs.
EXPONENT = 2


def newest_share(n_epochs: int) -> float:
    """The share of the newest weights in the average, (η + 1) / (t + η).

    Args:
        n_epochs: The number t of epochs in the average, the newest included.

    Example:
        >>> [newest_share(t) for t in (1, 2, 4)]
        [1.0, 0.75, 0.5]
    """
    return (EXPONENT + 1) / (n_epochs + EXPONENT)


class WeightAverage:
    """Polynomial-decay averaging of the weights and of buffers that are no whole numbers, by epochs.

    Shamir and Zhang (2013), "Stochastic gradient descent for non-smooth optimization: convergence results and optimal
    averaging schemes": w̄_t = (1 − (η + 1) / (t + η)) w̄_{t−1} + (η + 1) / (t + η) w_t. It needs one copy of the
    weights, which lies in main memory in at least single precision. Statistics of batch norms are averaged like weights
    and not measured anew; whole numbers are those of the newest epoch. An epoch at which a finite value has become NaN
    or infinite is left out; what is infinite from the first epoch on, such as a mask of attention, stays as it is.

    Attributes:
        n_epochs: Number of epochs in the average.
    """

    def __init__(self) -> None:
        self.n_epochs = 0
        self._values: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Any]) -> None:
        """Takes the weights of one more epoch into the average; other names or shapes than before start it anew.

        Args:
            weights: A module's ``state_dict``; it is not changed.

        Raises:
            Exception: They cannot be averaged, as sparse ones; nothing is left of the average, of which a part may
                have been changed.
        """
        try:
            self._update(weights)
        except BaseException:
            self.n_epochs = 0
            self._values = {}
            raise

    def _update(self, weights: Mapping[str, Any]) -> None:
        floating = {name: value for name, value in weights.items() if _is_averaged(value)}
        shapes = {name: value.shape for name, value in floating.items()}
        if shapes != {name: value.shape for name, value in self._values.items()}:
            self.n_epochs = 0
            self._values = {name: torch.zeros(value.shape, dtype=_dtype(value)) for name, value in floating.items()}
        newest = {name: value.detach().to("cpu", self._values[name].dtype) for name, value in floating.items()}
        if self.n_epochs > 0 and any(_has_diverged(self._values[name], value) for name, value in newest.items()):
            return
        self.n_epochs += 1
        for name, value in newest.items():
            average = self._values[name]
            mean = torch.lerp(average, value, newest_share(self.n_epochs))
            average.copy_(torch.where(mean.isfinite(), mean, value))  # between infinite values the mean is NaN

    def in_place_of(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The averaged weights with the dtypes of the module's, beside what is not averaged.

        Args:
            weights: The module's ``state_dict``.

        Raises:
            ValueError: The module does not have all of the averaged weights any more.
        """
        missing = sorted(self._values.keys() - weights.keys())
        if missing:
            raise ValueError(f"weights: the average has {missing[0]!r}, which the module has lost since the last epoch")
        result = dict(weights)
        for name, value in self._values.items():
            result[name] = value.to(weights[name].dtype)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The state, of plain types and tensors."""
        return {"n_epochs": self.n_epochs, "values": {name: value.clone() for name, value in self._values.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a state.

        Args:
            state: From `state_dict`.
        """
        self.n_epochs = state["n_epochs"]
        self._values = {name: value.clone() for name, value in state["values"].items()}


def _is_averaged(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _dtype(value: Tensor) -> torch.dtype:
    """At least single precision."""
    return torch.promote_types(value.dtype, torch.float32) if value.dtype.itemsize > 1 else torch.float32


def _has_diverged(average: Tensor, newest: Tensor) -> bool:
    """Whether a value that was finite is not any more."""
    return bool((average.isfinite() & ~newest.isfinite()).any())
