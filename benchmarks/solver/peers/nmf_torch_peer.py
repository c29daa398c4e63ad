"""nmf-torch's batch solvers: HALS with one sweep or many, multiplicative updates, block principal pivoting."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

from benchmarks.solver.measure import Peer
from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import NO_LIMIT, RunMonitor


def variants(quick: bool) -> list[Peer]:
    """The ways to call the library; fewer if quick."""
    from nmf.nmf_models import NMFBatchHALS, NMFBatchMU, NMFBatchNnlsBpp

    def variant(label: str, base: Any, init: str, **options: Any) -> Peer:
        def run(problem: Problem, rank: int, seed: int, monitor: RunMonitor) -> None:
            class Followed(base):
                def _update_W(self) -> None:
                    super()._update_W()
                    monitor(self.H, self.W)

            none = dict.fromkeys(("alpha_W", "l1_ratio_W", "alpha_H", "l1_ratio_H"), 0.0)
            model = Followed(
                rank, init, 2.0, -1.0, seed, fp_precision="float", device_type="cpu", n_jobs=1, max_iter=NO_LIMIT,
                **none, **options,
            )  # fmt: skip
            # bpp calls torch.cholesky, which torch has removed
            with mock.patch.object(torch, "cholesky", torch.linalg.cholesky):
                model.fit(torch.from_numpy(problem.X))

        return Peer(f"nmf-torch {label} {init}", "nmf-torch", run, default=(label, init) == ("halsvar", "nndsvdar"))

    kinds: list[tuple[str, Any, dict[str, Any]]] = [
        ("hals", NMFBatchHALS, {"hals_tol": 0.05, "hals_max_iter": 1}),
        ("halsvar", NMFBatchHALS, {"hals_tol": 0.05, "hals_max_iter": 200}),
        ("mu", NMFBatchMU, {}),
        ("bpp", NMFBatchNnlsBpp, {}),
    ]
    inits = ("nndsvdar",) if quick else ("nndsvdar", "random")
    return [variant(label, base, init, **options) for label, base, options in kinds for init in inits]
