"""Other libraries' NMF under one stopwatch, each run as its users run it and stopped as soon as it is good enough.

How a peer is timed: its own function runs; after each of its iterations the clocks stop, the factors are evaluated,
the clocks go on; once the squared error is within the target the run is cut off. So a peer pays for its start and for
its iterations, not for the evaluation, not for a stopping rule, and not for iterations it did not need. Ours pays for
the whole call. Ranks run from the largest down, one after the other, and add up.

A run is given up when its budget of processor time is spent, or when it stands still: in the last half of its
iterations (60 at least) it won less than a tenth of what is still missing.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.solver_problems import Problem

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


@dataclass(frozen=True)
class Peer:
    """One way to call a library.

    Attributes:
        name: As the tables print it.
        library: Whose it is.
        run: Factorises ``problem`` at a rank from a seed, calling the lap after every iteration.
        default: Whether these are the library's own default settings.
    """

    name: str
    library: str
    run: Callable[[Problem, int, int, Lap], None]
    default: bool = False


@dataclass
class Run:
    """What a peer came to on all ranks.

    Attributes:
        cpu: Processor seconds of all ranks that ran.
        wall: The same on the wall.
        gaps: SSE over the best known, minus one, a rank, where the run stopped; a rank that the end of the budget
            met at its first iteration shows a large one.
        laps: Iterations a rank.
        hit: Whether every rank came within the target; the first that does not ends the run.
        error: What the peer raised, if anything.
    """

    cpu: float = 0.0
    wall: float = 0.0
    gaps: dict[int, float] = field(default_factory=dict)
    laps: dict[int, int] = field(default_factory=dict)
    hit: bool = True
    error: str = ""


def measure(
    peer: Peer, problem: Problem, best: dict[int, float], within: float, seed: int, budget: float, skip: bool = True
) -> Run:
    """Runs a peer on all ranks.

    Args:
        peer: Whom.
        problem: What.
        best: Smallest SSE known, a rank.
        within: Allowed excess over it, e.g. 0.01.
        seed: Of the peer's random state.
        budget: Processor seconds for all ranks together.
        skip: Stop at the first rank that fails.

    Returns:
        Times and gaps.
    """
    run = Run()
    for rank in sorted(best, reverse=True):
        lap = Lap(problem, (1 + within) * best[rank], budget - run.cpu)
        try:
            with quiet():
                lap.watch.go()
                peer.run(problem, rank, seed, lap)
        except Finished:
            pass
        except Exception as error:  # a peer that fails is a row of the table, not the end of it
            lap.watch.stop()
            run.error = f"{type(error).__name__}: {error}".splitlines()[0]
        run.cpu += lap.watch.cpu
        run.wall += lap.watch.wall
        run.gaps[rank], run.laps[rank] = lap.best / best[rank] - 1, lap.count
        if lap.best > lap.target:
            run.hit = False
            if skip:
                break
    return run


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No peer's warnings or prints, and back to one thread whatever it set."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(1)


def peers(quick: bool = False) -> tuple[list[Peer], list[str]]:
    """All peers whose library is installed, and a line for each that is missing."""
    found: list[Peer] = []
    missing: list[str] = []
    for module, make in _MAKERS.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(f"{module} is not installed: left out (pip install '.[bench]')")
            continue
        found += make(quick)
    return found, missing


def load_prototype(folder: Path | None) -> ModuleType | None:
    """The prototype's module from its folder; None where there is none."""
    if folder is None or not (folder / "fast.py").exists():
        return None
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("fast")
    finally:
        sys.path.remove(str(folder))


def _sklearn(quick: bool) -> list[Peer]:
    from sklearn.decomposition import NMF, _nmf

    def coordinate_descent(init: str) -> Peer:
        def run(problem: Problem, rank: int, seed: int, lap: Lap) -> None:
            sweep = _nmf._update_coordinate_descent
            calls: list[None] = []

            def counted(X: Any, W: Any, Ht: Any, *rest: Any) -> float:
                violation = sweep(X, W, Ht, *rest)
                calls.append(None)
                if len(calls) % 2 == 0:  # first W with F fixed, then F with W fixed
                    lap(Ht, W.T)
                return violation

            with mock.patch.object(_nmf, "_update_coordinate_descent", counted):
                NMF(rank, init=init, solver="cd", tol=0, max_iter=ENDLESS, random_state=seed).fit_transform(problem.X)

        return Peer(f"scikit-learn cd {init}", "scikit-learn", run, default=init == "nndsvda")

    def multiplicative(problem: Problem, rank: int, seed: int, lap: Lap) -> None:
        update = _nmf._multiplicative_update_h

        def counted(X: Any, W: Any, H: Any, **options: Any) -> Any:
            H = update(X, W, H, **options)
            lap(W, H)
            return H

        with mock.patch.object(_nmf, "_multiplicative_update_h", counted):
            NMF(rank, init="nndsvda", solver="mu", tol=0, max_iter=ENDLESS, random_state=seed).fit_transform(problem.X)

    inits = ("nndsvd", "nndsvda", "nndsvdar", "random")
    return [coordinate_descent(i) for i in inits] + [Peer("scikit-learn mu", "scikit-learn", multiplicative)]


def _nmf_torch(quick: bool) -> list[Peer]:
    from nmf.nmf_models import NMFBatchHALS, NMFBatchMU, NMFBatchNnlsBpp

    def variant(label: str, base: Any, init: str, **options: Any) -> Peer:
        def run(problem: Problem, rank: int, seed: int, lap: Lap) -> None:
            class Followed(base):
                def _update_W(self) -> None:
                    super()._update_W()
                    lap(self.H, self.W)

            none = dict.fromkeys(("alpha_W", "l1_ratio_W", "alpha_H", "l1_ratio_H"), 0.0)
            model = Followed(
                rank, init, 2.0, -1.0, seed, fp_precision="float", device_type="cpu", n_jobs=1, max_iter=ENDLESS,
                **none, **options,
            )  # fmt: skip
            # bpp calls torch.cholesky, which torch has removed: without this it could not run at all
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


def _torchnmf(quick: bool) -> list[Peer]:
    from torchnmf import nmf

    def run(problem: Problem, rank: int, seed: int, lap: Lap) -> None:
        update = nmf._double_backward_update
        calls: list[None] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            X = torch.from_numpy(problem.X)
            model = nmf.NMF(X.shape, rank)

            def counted(*args: Any) -> None:
                update(*args)
                calls.append(None)
                if len(calls) % 2 == 0:  # first W, then H; X ≈ H Wᵀ
                    lap(model.H.detach(), model.W.detach().T)

            with mock.patch.object(nmf, "_double_backward_update", counted):
                model.fit(X, beta=2, tol=-1, max_iter=ENDLESS)

    return [Peer("torchnmf", "torchnmf", run)]


def _tensorly(quick: bool) -> list[Peer]:
    import tensorly as tl
    from tensorly.decomposition import _nn_cp

    def variant(backend: str, init: str) -> Peer:
        def run(problem: Problem, rank: int, seed: int, lap: Lap) -> None:
            solve, factors = _nn_cp.hals_nnls, []

            def counted(*args: Any, **options: Any) -> Any:
                factors.append(solve(*args, **options))
                if len(factors) % 2 == 0:  # first the rows' factor, then the samples'
                    lap(factors[-2].T, factors[-1])
                return factors[-1]

            X = torch.from_numpy(problem.X) if backend == "pytorch" else problem.X
            with tl.backend_context(backend), mock.patch.object(_nn_cp, "hals_nnls", counted):
                options = {"init": init, "tol": 0, "n_iter_max": ENDLESS, "random_state": seed}
                _nn_cp.non_negative_parafac_hals(X, rank, **options)

        return Peer(f"tensorly hals {init} ({backend})", "tensorly", run, default=(backend, init) == ("numpy", "svd"))

    backends = ("numpy",) if quick else ("numpy", "pytorch")
    return [variant(b, i) for b in backends for i in ("random", "svd")]


_MAKERS: dict[str, Callable[[bool], list[Peer]]] = {
    "sklearn": _sklearn,
    "nmf": _nmf_torch,
    "torchnmf": _torchnmf,
    "tensorly": _tensorly,
}
