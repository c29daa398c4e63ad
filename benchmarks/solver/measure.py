"""Other libraries' NMF under one stopwatch, each run as its users run it and stopped as soon as it is good enough.

How a peer is timed: its own function runs; after each of its iterations the clocks stop, the factors are evaluated,
the clocks go on; once the squared error is within the target the run is cut off. So a peer pays for its start and for
its iterations, not for the evaluation, not for a stopping rule, and not for iterations it did not need. Ours pays for
the whole call. Ranks run from the largest down, one after the other, and add up.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from benchmarks.solver.problems import Problem
from benchmarks.solver.stopwatch import Finished, Lap


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
