"""Follows the iterations of a peer, and evaluates its error while the clocks are stopped.

A run ends when its error reaches the target, when its budget of processor time is spent, or when it stagnates: in the
last half of its iterations (at least 60) its error decreased by less than a tenth of what is still missing.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.solver.problems import Problem

#: A limit on iterations that no run reaches, as `RunMonitor` ends it before.
NO_LIMIT = 1_000_000


class RunEnded(Exception):
    """Raised from within a peer's iteration to end the run."""


class Stopwatch:
    """Processor and wall time, with pauses.

    Attributes:
        cpu: Processor seconds so far, pauses excluded.
        wall: Wall seconds so far, pauses excluded.
    """

    def __init__(self) -> None:
        self.cpu = 0.0
        self.wall = 0.0
        self._since = (time.process_time(), time.perf_counter())

    def stop(self) -> None:
        """Stops the clocks until `start`."""
        self.cpu += time.process_time() - self._since[0]
        self.wall += time.perf_counter() - self._since[1]

    def start(self) -> None:
        """Lets the clocks run again."""
        self._since = (time.process_time(), time.perf_counter())


class RunMonitor:
    """Follows one run of a peer at one rank; the peer calls it after every iteration.

    Args:
        problem: The problem that is factorized.
        target: Squared error at which the run is good enough.
        budget: Seconds of processor time after which the run is ended.

    Attributes:
        watch: The clocks of the run.
        count: Number of iterations so far.
        best: The smallest squared error evaluated so far.
    """

    def __init__(self, problem: Problem, target: float, budget: float) -> None:
        self.problem = problem
        self.target = target
        self.budget = budget
        self.watch = Stopwatch()
        self.count = 0
        self.best = float("inf")
        self._X = torch.from_numpy(problem.X)
        self._best_by_count: dict[int, float] = {}
        self._next_evaluation = 1

    def __call__(self, W: Any, F: Any) -> None:
        """Counts an iteration and, from time to time, evaluates its factors.

        Args:
            W: Shape (m, r), an array or a tensor.
            F: Shape (r, N), an array or a tensor.

        Raises:
            RunEnded: The run has reached its target, spent its budget or stagnates.
        """
        self.watch.stop()
        self.count += 1
        if self.count >= self._next_evaluation or self.watch.cpu > self.budget:
            sse = squared_error(self.problem, torch.as_tensor(W), torch.as_tensor(F), self._X)
            if np.isfinite(sse):
                self.best = min(self.best, sse)
            self._best_by_count[self.count] = self.best
            if self.best <= self.target or self.watch.cpu > self.budget or self._stagnates():
                raise RunEnded
            # An evaluation takes as long as half an iteration: they are rare while the error is far from the target.
            interval = self.count // (50 if self.best < 1.01 * self.target else 12)
            self._next_evaluation = self.count + max(1, interval)
        self.watch.start()

    def _stagnates(self) -> bool:
        if self.count < 60:
            return False
        half = min(self._best_by_count, key=lambda n: abs(n - self.count // 2))
        return self._best_by_count[half] - self.best < 0.1 * (self.best - self.target)


def squared_error(problem: Problem, W: torch.Tensor, F: torch.Tensor, X: torch.Tensor) -> float:
    """‖X − W F‖², from Gram matrices with float64 sums, or from residuals by chunks where those sums would cancel."""
    with torch.no_grad():
        W = W.float()
        F = F.float()
        cross = ((X.T @ W).double() * F.T.double()).sum()
        sse = problem.energy - 2 * cross + ((W.T @ W).double() * (F @ F.T).double()).sum()
        if sse < 1e-3 * problem.energy:
            parts = zip(X.split(8192), W.split(8192))
            sse = sum((x - w @ F).double().square().sum() for x, w in parts)
        return float(sse)
