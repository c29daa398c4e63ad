"""The mean training loss since the last observation, summed up on the device without waiting for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.distributed import SingleProcess


@dataclass
class TrainingLoss:
    """Sums up the losses of training batches.

    Nothing is read from the device before `mean`, so that no batch waits.

    Attributes:
        total: Sum of the losses; None before the first.
        count: Number of losses.

    Example:
        >>> loss = TrainingLoss()
        >>> for value in (1.0, 2.0):
        ...     loss.add({"loss": torch.tensor(value)})
        >>> loss.mean(SingleProcess())
        1.5
    """

    total: Tensor | None = None
    count: int = 0

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
        self.total = value if self.total is None else self.total.to(value.device) + value
        self.count += 1

    def mean(self, group: SingleProcess) -> float | None:
        """The mean over all losses of all processes, each of which calls it; None where there was none.

        Args:
            group: The processes.
        """
        total = 0.0 if self.total is None else float(self.total)
        sums = group.all_reduce_sum(torch.tensor([total, float(self.count)], dtype=torch.float64))
        return float(sums[0] / sums[1]) if sums[1] > 0 else None

    def reset(self) -> None:
        """Begins anew after an observation."""
        self.total = None
        self.count = 0

    def state_dict(self) -> dict[str, float]:
        """The sum and the number of losses, for a checkpoint between two observations."""
        return {"total": 0.0 if self.total is None else float(self.total), "count": self.count}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any] | None) -> TrainingLoss:
        """The sums of a checkpoint; empty for one of an earlier version, which has none."""
        if state is None or not state["count"]:
            return cls()
        return cls(torch.tensor(float(state["total"])), int(state["count"]))
