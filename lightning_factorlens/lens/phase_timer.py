"""How long the phases of an observation take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from lightning_factorlens.results import Cost


class PhaseTimer:
    """Seconds by phase.

    Args:
        clock: Returns seconds.
        device: Device whose kernels a phase waits for.
    """

    def __init__(self, clock: Callable[[], float], device: torch.device) -> None:
        self.clock = clock
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Adds the time that is spent inside the context to a phase."""
        start = self.clock()
        try:
            yield
            if self.device.type == "cuda":  # kernels are asynchronous: wait for what the phase has started
                torch.cuda.synchronize(self.device)
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + self.clock() - start

    def cost(self) -> Cost:
        """The phases and their sum."""
        return Cost({**self.seconds, "total": sum(self.seconds.values())})
