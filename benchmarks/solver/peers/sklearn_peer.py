"""scikit-learn's NMF: coordinate descent from all of its initializations, and multiplicative updates."""

from __future__ import annotations

from typing import Any
from unittest import mock

from benchmarks.solver.measure import Peer
from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import NO_LIMIT, RunMonitor


def variants(quick: bool) -> list[Peer]:
    """The ways to call the library; fewer if quick."""
    from sklearn.decomposition import NMF, _nmf

    def coordinate_descent(init: str) -> Peer:
        def run(problem: Problem, rank: int, seed: int, monitor: RunMonitor) -> None:
            sweep = _nmf._update_coordinate_descent
            calls: list[None] = []

            def counted(X: Any, W: Any, Ht: Any, *rest: Any) -> float:
                violation = sweep(X, W, Ht, *rest)
                calls.append(None)
                if len(calls) % 2 == 0:  # one call for W with F fixed, one for F with W fixed
                    monitor(Ht, W.T)
                return violation

            with mock.patch.object(_nmf, "_update_coordinate_descent", counted):
                NMF(rank, init=init, solver="cd", tol=0, max_iter=NO_LIMIT, random_state=seed).fit_transform(problem.X)

        return Peer(f"scikit-learn cd {init}", "scikit-learn", run, default=init == "nndsvda")

    def multiplicative(problem: Problem, rank: int, seed: int, monitor: RunMonitor) -> None:
        update = _nmf._multiplicative_update_h

        def counted(X: Any, W: Any, H: Any, **options: Any) -> Any:
            H = update(X, W, H, **options)
            monitor(W, H)
            return H

        with mock.patch.object(_nmf, "_multiplicative_update_h", counted):
            NMF(rank, init="nndsvda", solver="mu", tol=0, max_iter=NO_LIMIT, random_state=seed).fit_transform(problem.X)

    inits = ("nndsvd", "nndsvda", "nndsvdar", "random")
    return [coordinate_descent(i) for i in inits] + [Peer("scikit-learn mu", "scikit-learn", multiplicative)]
