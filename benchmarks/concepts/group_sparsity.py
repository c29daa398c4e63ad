"""Group sparsity that removes components: the path on MNIST activations, planted components, and the time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure, markdown_table
from benchmarks.solver.problems import load_problem
from lightning_factorlens.factorization import factorize, refit_components, sparsity_path
from lightning_factorlens.results import Block, SparsityPath

RANK = 20
FRACTIONS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.01)
PLANTED = 6


def measure(data_dir: Path, quick: bool) -> Measured:
    """Follows the path on MNIST activations, finds planted components, and compares the time of the fits."""
    problem = load_problem("mnist", data_dir)
    blocks = problem.blocks
    path = sparsity_path(blocks, RANK, lambdas=FRACTIONS)
    start = factorize(blocks, [RANK]).F[0]
    scales = torch.logspace(-3, 3, RANK)[:, None]
    rescaled = sparsity_path(blocks, RANK, lambdas=FRACTIONS, start=start * scales)
    same = sparsity_path(blocks, RANK, lambdas=FRACTIONS, start=start)
    difference = max(float((a - b).abs().max()) for a, b in zip(rescaled.F, same.F))
    seeds = range(3 if quick else 10)
    found = sum(finds_planted(seed) for seed in seeds)
    seconds = interleaved_medians(
        {
            "fit": lambda: factorize(blocks, [RANK]),
            "one": lambda: sparsity_path(blocks, RANK, lambdas=(0.3,)),
            "path": lambda: sparsity_path(blocks, RANK, lambdas=FRACTIONS),
        },
        3 if quick else 7,
    )
    zero_rows = [RANK - count for count in path.n_components]
    at = dict(zip(FRACTIONS, zero_rows))
    figures = [
        Figure("group_sparsity_largest_rise_of_the_objective", largest_rise(path), 0, at_most=True),
        Figure("group_sparsity_zero_rows_at_0.01", at[0.01], 0, at_most=True),
        Figure("group_sparsity_zero_rows_at_0.5", at[0.5], RANK / 2),
        Figure("group_sparsity_zero_rows_at_1.01", at[1.01], RANK),
        Figure("group_sparsity_falls_of_zero_rows", _falls(zero_rows), 0, at_most=True),
        Figure("group_sparsity_change_by_rescaling", difference, 1e-5, at_most=True),
        Figure("group_sparsity_planted_found_share", found / len(seeds), 1),
        Figure("group_sparsity_time_of_one_lambda", seconds["one"] / seconds["fit"], 3, at_most=True),
        Figure("group_sparsity_time_of_path", seconds["path"] / seconds["fit"], 3, at_most=True),
    ]
    rows = []
    for fraction, zeros, value in zip(FRACTIONS, zero_rows, path.objective):
        rows.append([f"{fraction:g}", str(zeros), f"{value:.4f}"])
    table = markdown_table(["λ / λ_max", f"zero rows of {RANK}", "objective"], rows)
    text = (
        f"## Group sparsity\n\n`python -m benchmarks.concepts --parts group_sparsity`. {problem.source}."
        f"\n\n{table}\n\nProcessor seconds: fit without penalty {seconds['fit']:.2f}, "
        f"one λ {seconds['one']:.2f}, the whole path {seconds['path']:.2f}, "
        "each with the fit from which it starts. "
        f"The {PLANTED} planted components of {RANK} are found exactly in {found} of "
        f"{len(seeds)} data sets."
    )
    payload = {"lambdas": FRACTIONS, "zero_rows": zero_rows, "objective": path.objective, "seconds": seconds}
    return Measured(text, payload, figures)


def largest_rise(path: SparsityPath) -> float:
    """The largest rise of the objective from one pass to the next at any λ; negative if it always falls."""
    rises = [0.0]
    for history in path.history:
        rises += [after - before for before, after in zip(history, history[1:])]
    return max(rises)


def _falls(zero_rows: list[int]) -> int:
    return sum(after < before for before, after in zip(zero_rows, zero_rows[1:]))


def finds_planted(seed: int) -> bool:
    """Whether the path has exactly the planted components at some λ: each of them once, with a cosine above 0.98."""
    blocks, F = planted(seed)
    path = sparsity_path(blocks, RANK)
    if PLANTED not in path.n_components:
        return False
    rows = normalize(refit_components(blocks, path, PLANTED).F[0].double(), dim=1)
    cosines = rows @ normalize(F, dim=1).T
    return sorted(cosines.argmax(1).tolist()) == list(range(PLANTED)) and float(cosines.amax(1).min()) > 0.98


def planted(seed: int, N: int = 200, features: tuple[int, ...] = (600, 1500)) -> tuple[list[Block], Tensor]:
    """Two blocks of non-negative components that are active on few samples, with 10 % noise, and their F."""
    generator = torch.Generator().manual_seed(seed)

    def sparse(*shape: int) -> Tensor:
        values = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return values * (torch.rand(*shape, generator=generator) < 0.3)

    F = sparse(PLANTED, N)
    blocks = []
    for i, m in enumerate(features):
        clean = sparse(m, PLANTED) @ F
        noise = torch.randn(m, N, generator=generator, dtype=torch.float64).abs()
        X = clean + 0.1 * clean.norm() / noise.norm() * noise
        blocks.append(Block(f"layer{i}", "activation", X.T.contiguous(), (m,)))
    return blocks, F
