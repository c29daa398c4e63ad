"""The experiment that the solver goes back to, with one start and with three; it is no part of the repository."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from benchmarks.solver.factorlens_runner import timed
from benchmarks.solver.measure import Run
from benchmarks.solver.problems import RANKS, Problem


def prototype_runs(
    problem: Problem, best: dict[int, float], within: float, folder: Path | None, seeds: int
) -> dict[str, list[Run]]:
    """Its runs by name, over the whole call as ours.

    Args:
        problem: What.
        best: Smallest SSE known, a rank.
        within: Allowed excess over it, e.g. 0.01.
        folder: Holds ``fast.py``; nothing runs where it is None or does not.
        seeds: How many runs.
    """
    fast = _load(folder)
    if fast is None:
        return {}
    found: dict[str, list[Run]] = {}
    X = torch.from_numpy(problem.X)
    for restarts, init in ((1, "nndsvd"), (3, "mixed")):
        runs = found[f"prototype, {restarts} start{'s' * (restarts > 1)}"] = []
        for seed in range(seeds):
            options = {"restarts": restarts, "init": init, "sample": 4096, "s_iter": 150, "s_tol": 1e-4, "full": 3}
            gen = torch.Generator().manual_seed(seed)
            (_, sse, history, _), cpu, wall = timed(partial(fast.fit, X, list(RANKS), gen=gen, **options))
            gaps = {r: float(s) / best[r] - 1 for r, s in zip(RANKS, sse)}
            runs.append(Run(cpu, wall, gaps, dict.fromkeys(RANKS, len(history)), max(gaps.values()) <= within))
    return found


def _load(folder: Path | None) -> ModuleType | None:
    if folder is None or not (folder / "fast.py").exists():
        return None
    specification = importlib.util.spec_from_file_location("prototype_fast", folder / "fast.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
