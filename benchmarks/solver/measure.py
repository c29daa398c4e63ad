"""Times other libraries' NMF; each run is called as its users call it and ended as soon as it is good enough.

A peer's own function runs. After each of its iterations the clocks stop, the factors are evaluated, and the clocks run
again; once the squared error is within the target the run is ended. A peer is thus charged for its initialization and
its iterations, but not for the evaluation, for a stopping rule, or for iterations that it did not need. Our solver is
charged for the whole call. Ranks run one after the other, from the largest to the smallest, and their times add up.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import RunEnded, RunMonitor


@dataclass(frozen=True)
class Peer:
    """One way to call a library.

    Attributes:
        name: Name of the row in the tables.
        library: Name of the library.
        run: Factorizes ``problem`` at a rank from a seed and calls the monitor after every iteration.
        default: Whether these are the library's own default settings.
    """

    name: str
    library: str
    run: Callable[[Problem, int, int, RunMonitor], None]
    default: bool = False


@dataclass
class Run:
    """The times and errors of one run over all ranks.

    Attributes:
        cpu: Processor seconds of all ranks that ran.
        wall: Wall seconds of all ranks that ran.
        gaps: By rank, the squared error where the run ended over the smallest known, minus one. A rank whose first
            iteration exceeded the budget has a large one.
        laps: Number of iterations by rank.
        hit: Whether every rank reached its target; the first rank that does not ends the run.
        error: The message of the exception that the peer raised, if it did.
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
        peer: The way to call a library.
        problem: The problem.
        best: The smallest squared error known, by rank.
        within: Allowed excess over it, e.g. 0.01.
        seed: Seed of the peer's random state.
        budget: Processor seconds for all ranks together.
        skip: Whether to end at the first rank that misses its target.

    Returns:
        Times and gaps.
    """
    run = Run()
    for rank in sorted(best, reverse=True):
        monitor = RunMonitor(problem, (1 + within) * best[rank], budget - run.cpu)
        try:
            with quiet():
                monitor.watch.start()
                peer.run(problem, rank, seed, monitor)
        except RunEnded:
            pass
        except Exception as error:  # a peer that fails has a row in the table and does not end the benchmark
            monitor.watch.stop()
            run.error = f"{type(error).__name__}: {error}".splitlines()[0]
        run.cpu += monitor.watch.cpu
        run.wall += monitor.watch.wall
        run.gaps[rank] = monitor.best / best[rank] - 1
        run.laps[rank] = monitor.count
        if monitor.best > monitor.target:
            run.hit = False
            if skip:
                break
    return run


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses warnings and prints inside, and resets torch to one thread afterwards."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(1)
