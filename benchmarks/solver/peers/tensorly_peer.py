"""tensorly's non-negative PARAFAC by HALS, which on a matrix is NMF."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

from benchmarks.solver.measure import Peer
from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import NO_LIMIT, RunMonitor


def variants(quick: bool) -> list[Peer]:
    """The ways to call the library; fewer if quick."""
    import tensorly as tl
    from tensorly.decomposition import _nn_cp

    def variant(backend: str, init: str) -> Peer:
        def run(problem: Problem, rank: int, seed: int, monitor: RunMonitor) -> None:
            solve = _nn_cp.hals_nnls
            factors: list[Any] = []

            def counted(*args: Any, **options: Any) -> Any:
                factors.append(solve(*args, **options))
                if len(factors) % 2 == 0:  # one call for the rows' factor, one for the samples'
                    monitor(factors[-2].T, factors[-1])
                return factors[-1]

            X = torch.from_numpy(problem.X) if backend == "pytorch" else problem.X
            with tl.backend_context(backend), mock.patch.object(_nn_cp, "hals_nnls", counted):
                options = {"init": init, "tol": 0, "n_iter_max": NO_LIMIT, "random_state": seed}
                _nn_cp.non_negative_parafac_hals(X, rank, **options)

        return Peer(f"tensorly hals {init} ({backend})", "tensorly", run, default=(backend, init) == ("numpy", "svd"))

    backends = ("numpy",) if quick else ("numpy", "pytorch")
    return [variant(b, i) for b in backends for i in ("random", "svd")]
