"""The stopwatch that follows a peer's iterations, and the error it evaluates while it stands still.

A run is given up when its budget of processor time is spent, or when it stands still: in the last half of its
iterations (60 at least) it won less than a tenth of what is still missing.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.solver.problems import Problem

#: More iterations than any run needs: the stopwatch ends it.
ENDLESS = 1_000_000


class Finished(Exception):
    """Raised from within a peer's iteration to end it."""


class Stopwatch:
    """Processor and wall time, with pauses."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self._since = (time.process_time(), time.perf_counter())

    def stop(self) -> None:
        """Stands still until `go`."""
        self.cpu += time.process_time() - self._since[0]
        self.wall += time.perf_counter() - self._since[1]

    def go(self) -> None:
        """Runs on."""
        self._since = (time.process_time(), time.perf_counter())


class Lap:
    """Follows one run of a peer at one rank.

    Args:
        problem: What is factorised.
        target: Squared error at which the run is good enough.
        budget: Seconds of processor time after which it is given up.
    """

    def __init__(self, problem: Problem, target: float, budget: float) -> None:
        self.problem, self.target, self.budget = problem, target, budget
        self.X = torch.from_numpy(problem.X)
        self.count, self.best = 0, float("inf")
        self.seen: dict[int, float] = {}
        self.watch, self.next = Stopwatch(), 1

    def __call__(self, W: Any, F: Any) -> None:
        """After an iteration: factors of shapes (m, r) and (r, N), arrays or tensors."""
        self.watch.stop()
        self.count += 1
        if self.count >= self.next or self.watch.cpu > self.budget:
            sse = squared_error(self.problem, torch.as_tensor(W), torch.as_tensor(F), self.X)
            if np.isfinite(sse):
                self.best = min(self.best, sse)
            self.seen[self.count] = self.best
            if self.best <= self.target or self.watch.cpu > self.budget or self._stands_still():
                raise Finished
            # An evaluation costs us, not the peer, half an iteration: few while the target is far, many when near.
            self.next = self.count + max(1, self.count // (50 if self.best < 1.01 * self.target else 12))
        self.watch.go()

    def _stands_still(self) -> bool:
        if self.count < 60:
            return False
        half = min(self.seen, key=lambda n: abs(n - self.count // 2))
        return self.seen[half] - self.best < 0.1 * (self.best - self.target)


def squared_error(problem: Problem, W: torch.Tensor, F: torch.Tensor, X: torch.Tensor) -> float:
    """‖X − W F‖², from the Grams with float64 sums; by chunked residuals where that would cancel."""
    with torch.no_grad():
        W, F = W.float(), F.float()
        cross = ((X.T @ W).double() * F.T.double()).sum()
        sse = problem.energy - 2 * cross + ((W.T @ W).double() * (F @ F.T).double()).sum()
        if sse < 1e-3 * problem.energy:
            parts = zip(X.split(8192), W.split(8192))
            sse = sum((x - w @ F).double().square().sum() for x, w in parts)
        return float(sse)
