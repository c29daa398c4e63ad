"""torchnmf's multiplicative updates by autograd."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

from benchmarks.solver.measure import Peer
from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import NO_LIMIT, RunMonitor


def variants(quick: bool) -> list[Peer]:
    """The ways to call the library; fewer if quick."""
    from torchnmf import nmf

    def run(problem: Problem, rank: int, seed: int, monitor: RunMonitor) -> None:
        update = nmf._double_backward_update
        calls: list[None] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            X = torch.from_numpy(problem.X)
            model = nmf.NMF(X.shape, rank)

            def counted(*args: Any) -> None:
                update(*args)
                calls.append(None)
                if len(calls) % 2 == 0:  # one call for W, one for H; X ≈ H Wᵀ
                    monitor(model.H.detach(), model.W.detach().T)

            with mock.patch.object(nmf, "_double_backward_update", counted):
                model.fit(X, beta=2, tol=-1, max_iter=NO_LIMIT)

    return [Peer("torchnmf", "torchnmf", run)]
