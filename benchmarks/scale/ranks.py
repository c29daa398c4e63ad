"""Cost of a fit without start as the largest rank grows, and the errors of its initializations at large ranks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale.floors import FEATURES, LAYERS, random_layers
from benchmarks.solver.networks import SAMPLES
from benchmarks.solver.problems import load_problem
from lightning_factorlens.factorization import HALS, CoupledProblem, Stage, fit
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.iterate import run_stage
from lightning_factorlens.factorization.precision import full_precision
from lightning_factorlens.factorization.stages import StageProblems, initial_factors
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
#: The largest ranks of the fits that are timed.
LARGEST = (32, 64, 128)
#: Random initializations that are compared with NNDSVD.
RANDOM_STARTS = 3


def measure(data_dir: Path, quick: bool) -> Measured:
    """Times fits up to growing ranks, and compares their initializations after the screening and at the end."""
    problems: dict[str, list[Block]] = {
        "random layers": random_layers(data_dir, SAMPLES),
        "mnist": list(load_problem("mnist", data_dir).blocks),
    }
    cost: dict[str, dict[int, float]] = {}
    starts: dict[str, dict[int, list[list[float]]]] = {}
    for name, blocks in problems.items():
        problem = CoupledProblem(blocks, "raw")
        cost[name] = cold_seconds(problem, 2 if quick else 3)
        starts[name] = {}
        for rank in (64,) if quick else LARGEST:
            starts[name][rank] = excess_of_starts(problem, rank)
            print(name, rank, cost[name], starts[name][rank], flush=True)
    ratios = {name: seconds[128] / seconds[64] for name, seconds in cost.items()}
    figures = [Figure("rank_128_over_rank_64_cold", ratios["random layers"], 3, at_most=True)]
    figures.append(Figure("rank_128_over_rank_64_cold_mnist", ratios["mnist"], 3, at_most=True))
    return Measured(_section(cost, starts), {"cold_seconds": cost, "excess_of_starts": starts}, figures)


def cold_seconds(problem: CoupledProblem, repetitions: int) -> dict[int, float]:
    """Median processor seconds of a fit without start, by the largest of its ranks."""
    calls = {}
    for largest in LARGEST:
        ranks = RANKS[: RANKS.index(largest) + 1]
        calls[str(largest)] = partial(fit, problem, ranks)
    seconds = interleaved_medians(calls, repetitions)
    return {int(largest): value for largest, value in seconds.items()}


def excess_of_starts(problem: CoupledProblem, rank: int) -> list[list[float]]:
    """The excess of each initialization's objective over the best one's, in percent: NNDSVD first, then random ones.

    Returns:
        The values after the screening's iterations, over its sampled rows, and those at the end of the fit.
    """
    solver = HALS()
    screening, iterations = solver.schedule(problem, warm=False)[:2]
    found = []
    with torch.no_grad(), full_precision():
        stage_problem = StageProblems(problem, (rank,))
        part = stage_problem(screening)
        vectors = stage_problem.vectors(part)
        nndsvd = initial_factors(part, vectors, (rank,), 1, seed=0)
        random = initial_factors(part, vectors, (rank,), RANDOM_STARTS, seed=0, use_nndsvd=False)
        F = torch.cat([nndsvd, random])
        groups = ComponentGroups((rank,) * (1 + RANDOM_STARTS))
        for stage in (screening, iterations):
            single = Stage(stage.n_sampled_rows, 1, stage.max_iter, stage.tol)
            result = run_stage(stage_problem(stage), groups, F, solver, single)
            F = result.F
            found.append((100 * (result.objective / result.objective.min() - 1)).tolist())
    return found


def _section(cost: dict[str, dict[int, float]], starts: dict[str, dict[int, list[list[float]]]]) -> str:
    rows = []
    for name, seconds in cost.items():
        ratio = f"{seconds[128] / seconds[64]:.2f}"
        rows.append([name, *(f"{seconds[largest]:.2f}" for largest in LARGEST), ratio])
    cost_table = markdown_table(["s, ranks to", *map(str, LARGEST), "128 over 64"], rows)
    rows = []
    for name, of_rank in starts.items():
        for rank, (screened, final) in of_rank.items():
            columns = []
            for excess in (screened, final):
                columns.append(f"{excess[0]:.2f}")
                columns.append(", ".join(f"{value:.2f}" for value in sorted(excess[1:])))
            rows.append([name, str(rank), *columns])
    header = ["", "rank", "NNDSVD, screened", "random, screened", "NNDSVD, end", "random, end"]
    return (
        f"## Ranks\n\n`python -m benchmarks.scale --parts ranks`. N = {SAMPLES}: one input channel and {LAYERS} layers "
        f"of {FEATURES} features of a random ReLU network on CIFAR-10, and the CNN of the solver's benchmark on MNIST. "
        "Median processor seconds of a fit without start, of ranks 1, 2, 4, … to the one named. From rank 128 on "
        f"NNDSVD is the only initialization.\n\n{cost_table}\n\n"
        f"Initializations of one rank, {RANDOM_STARTS} of them random: excess of the objective over the best one's in "
        "percent, after the screening's iterations and where all of "
        f"them are continued to the end.\n\n{markdown_table(header, rows)}"
    )
