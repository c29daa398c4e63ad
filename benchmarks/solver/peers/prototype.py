"""The experiment from which the solver was developed, with one and with three starts; not part of the repository."""

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
    """Runs the prototype; like our solver it is charged for the whole call.

    Args:
        problem: The problem.
        best: The smallest squared error known, by rank.
        within: Allowed excess over it, e.g. 0.01.
        folder: Folder with the prototype's ``fast.py``; None or a folder without it runs nothing.
        seeds: Number of runs.

    Returns:
        The runs by the name of their row.
    """
    fast = _load(folder)
    if fast is None:
        return {}
    found: dict[str, list[Run]] = {}
    X = torch.from_numpy(problem.X)
    for restarts, init, name in ((1, "nndsvd", "prototype, 1 start"), (3, "mixed", "prototype, 3 starts")):
        found[name] = []
        for seed in range(seeds):
            options = {"restarts": restarts, "init": init, "sample": 4096, "s_iter": 150, "s_tol": 1e-4, "full": 3}
            generator = torch.Generator().manual_seed(seed)
            call = partial(fast.fit, X, list(RANKS), gen=generator, **options)
            (_, sse, history, _), cpu, wall = timed(call)
            gaps = {rank: float(error) / best[rank] - 1 for rank, error in zip(RANKS, sse)}
            iterations = dict.fromkeys(RANKS, len(history))
            found[name].append(Run(cpu, wall, gaps, iterations, max(gaps.values()) <= within))
    return found


def _load(folder: Path | None) -> ModuleType | None:
    if folder is None or not (folder / "fast.py").exists():
        return None
    specification = importlib.util.spec_from_file_location("prototype_fast", folder / "fast.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
