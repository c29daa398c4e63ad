"""The mean training loss since the last observation, summed up on the device without waiting for it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import is_number
from lightning_factorlens.distributed import SingleProcess

#: From this share of losses on that are NaN or infinite, a warning names their number.
MANY = 0.1


@dataclass
class TrainingLoss:
    """Sums up the losses of training batches. Losses that are NaN or infinite are counted and left out of the mean.

    Nothing is read from the device before `mean`, so that no batch waits.

    Attributes:
        total: Sum of the finite losses, on their device; None before the first loss.
        n_finite: Number of the finite losses, on their device; None before the first loss.
        count: Number of losses.
        n_left_out: Number of losses that the last `mean` has left out, of all processes.
        n_seen: Number of losses from which the last `mean` was taken, with those that it has left out.
        warns: Whether this process warns; of several, the first one alone does.
        has_warned: Whether a warning has named losses that were left out.

    Example:
        >>> loss = TrainingLoss()
        >>> for value in (1.0, 2.0, torch.nan):
        ...     loss.add({"loss": torch.tensor(value)})
        >>> loss.mean(SingleProcess()), loss.n_left_out
        (1.5, 1)
    """

    total: Tensor | None = None
    n_finite: Tensor | None = None
    count: int = 0
    n_left_out: int = 0
    n_seen: int = 0
    warns: bool = True
    has_warned: bool = False

    def add(self, outputs: Any, n_accumulated: int = 1) -> None:
        """Adds what a training step has returned: a tensor, or a mapping with a tensor ``"loss"``; else nothing.

        Args:
            outputs: The argument of ``on_train_batch_end``.
            n_accumulated: Number of batches by which the loss has been divided to accumulate gradients.
        """
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor) or loss.numel() == 0 or not loss.is_floating_point():
            return
        value = loss.detach().float().mean() * n_accumulated
        is_finite = value.abs() < math.inf  # False for NaN too, by two operations; torch.isfinite takes four
        finite_value = torch.where(is_finite, value, torch.zeros_like(value))
        self.total = finite_value if self.total is None else self.total.to(value.device) + finite_value
        self.n_finite = is_finite.float() if self.n_finite is None else self.n_finite.to(value.device) + is_finite
        self.count += 1

    def record(self, loss: Any) -> None:
        """Adds the loss of one batch of a user's loop.

        Args:
            loss: A tensor on any device, of which the mean is taken; or a number.

        Raises:
            TypeError: Anything else.
            ValueError: An empty tensor.
        """
        found = loss if isinstance(loss, Tensor) else _own_number(loss)
        if is_number(found):
            found = torch.tensor(float(found))
        if not isinstance(found, Tensor) or not found.is_floating_point():
            kind = f"a tensor of {loss.dtype}" if isinstance(loss, Tensor) else repr(loss)
            raise TypeError(
                f"loss: must be a tensor of floating-point numbers or a number, the loss of a batch, found {kind:.80}."
            )
        if found.numel() == 0:
            raise ValueError("loss: found an empty tensor; pass the loss of a batch that has samples.")
        self.add(found)

    def mean(self, group: SingleProcess, given: float | None = None) -> float | None:
        """The mean over all finite losses of all processes, each of which calls it.

        Args:
            group: The processes.
            given: A mean over the losses of this process, which takes the place of those that were added.

        Returns:
            The mean; None where there was no loss, NaN where there was none that is finite.
        """
        if given is not None:
            is_finite = math.isfinite(given)
            own = [given if is_finite else 0.0, float(is_finite), 1.0]
        elif self.total is None or self.n_finite is None:
            own = [0.0, 0.0, 0.0]
        else:
            own = [float(self.total), float(self.n_finite), float(self.count)]
        total, n_finite, count = group.all_reduce_sum(torch.tensor(own, dtype=torch.float64)).tolist()
        self.n_left_out = int(count - n_finite)
        self.n_seen = int(count)
        self.warns = group.rank == 0
        if not count:
            return None
        return total / n_finite if n_finite else math.nan

    def reset(self, may_warn: bool = True) -> None:
        """Begins anew after an observation, and warns once where it has left out many losses.

        Args:
            may_warn: False where a failure of an observation, which may have the same cause, has been reported.
        """
        self.total = None
        self.n_finite = None
        self.count = 0
        is_many = self.n_left_out > 0 and self.n_left_out >= MANY * self.n_seen
        if is_many and may_warn and self.warns and not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"FactorLens: {self.n_left_out} of {self.n_seen} training losses since the last observation were NaN "
                "or infinite. They are left out of the mean training loss; where all are, the stop signals have no "
                "value. The cause lies in the training: samples that are NaN or infinite, a learning rate that is too "
                "high, or numbers beyond the range of float16. Later observations do not repeat this warning.",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, float]:
        """The sum and the numbers of losses, for a checkpoint between two observations."""
        total = 0.0 if self.total is None else float(self.total)
        n_finite = 0.0 if self.n_finite is None else float(self.n_finite)
        return {"total": total, "n_finite": n_finite, "count": self.count}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any] | None) -> TrainingLoss:
        """The sums of a checkpoint; empty for one of an earlier version, which has none."""
        if state is None or not state["count"]:
            return cls()
        n_finite = float(state.get("n_finite", state["count"]))
        return cls(torch.tensor(float(state["total"])), torch.tensor(n_finite), int(state["count"]))


def checked_training_loss(value: Any) -> float | None:
    """The argument ``training_loss`` as a number.

    Args:
        value: A number, or a tensor or an array of one number on any device; None where the loss is not known.

    Returns:
        The number, which may be NaN or infinite where the training has diverged; None for None.

    Raises:
        TypeError: Something else.
        ValueError: Several numbers, or a negative one.

    Example:
        >>> checked_training_loss(torch.tensor([0.5], requires_grad=True)), checked_training_loss(None)
        (0.5, None)
        >>> checked_training_loss(torch.rand(32))
        Traceback (most recent call last):
        ValueError: training_loss: must be one number, the mean over the batches, found shape (32,); pass its mean().
    """
    if value is None:
        return None
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) != 1:
        raise ValueError(
            f"training_loss: must be one number, the mean over the batches, found shape {shape}; pass its mean()."
        )
    number = _own_number(value)
    if not is_number(number):
        raise TypeError(
            f"training_loss: must be a number, or a tensor of one number, found {value!r:.80}; pass the mean "
            "cross-entropy of the training batches since the last observation, or call record_loss(loss) after each."
        )
    if number < 0:
        raise ValueError(
            f"training_loss: must be a mean cross-entropy, which is not negative, found {number:g}. Leave it out where "
            "the network is trained with another loss: the memorisation gap then counts as 0."
        )
    return float(number)


def _own_number(value: Any) -> Any:
    """The number in a tensor or an array of one number; anything else as it is."""
    is_one_number = math.prod(getattr(value, "shape", (0,))) == 1
    return value.item() if is_one_number else value
