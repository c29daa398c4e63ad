"""PARAFAC2 against tensorly, with and without a compression of the slices, and against planted factors."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.concepts.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table, median
from benchmarks.solver.problems import load_problem
from lightning_factorlens.factorization import parafac2
from lightning_factorlens.results import Block, Parafac2Factorization

RANK = 10
WIDTHS = (40, 200, 80, 500, 30, 64)
PLANTED_RANK = 5
NOISE = 0.1


def measure(data_dir: Path, quick: bool) -> Measured:
    """Fits MNIST activations and planted slices, without and with a non-negative F."""
    problem = load_problem("mnist", data_dir)
    slices = [(block.samples.T / block.samples.norm()).numpy().astype(np.float64) for block in problem.blocks]
    rows: list[list[str]] = []
    figures: list[Figure] = []
    payload: dict[str, Any] = {"source": problem.source}
    for name, nonnegative in (("free", False), ("nonnegative", True)):
        fits = _fits(problem.blocks, slices, nonnegative, starts=1 if quick else 3)
        payload[name] = fits
        rows += _rows(name, fits)
        figures += _figures(name, fits)
    congruences = []
    for seed in range(4 if quick else 10):
        for nonnegative in (False, True):
            blocks, F = planted(seed, nonnegative)
            congruences.append(lowest_congruence(parafac2(blocks, PLANTED_RANK, nonnegative=nonnegative).F, F))
    payload["planted_lowest_congruences"] = congruences
    figures.append(Figure("parafac2_planted_lowest_congruence", min(congruences), 0.99))
    table = markdown_table(["F", "method", "seconds of one start", "seconds of all starts", "relative error"], rows)
    text = (
        f"## PARAFAC2\n\n`python -m benchmarks.concepts --parts parafac2`. Rank {RANK}, {problem.source}, "
        "every slice with unit norm, one thread. Processor seconds of whole calls, "
        "with the Gram matrices or tensorly's compression. Ours has six starts, "
        "and the error is the largest of all calls; tensorly has three, with the tolerance 1e-6, "
        "and the error is the smallest."
        f"\n\n{table}\n\nPlanted factors of rank {PLANTED_RANK} in slices of the "
        f"widths {WIDTHS} at {NOISE:.0%} noise, {len(congruences)} data sets: lowest congruence of a factor "
        f"{min(congruences):.4f}."
    )
    return Measured(text, payload, figures)


def _fits(blocks: tuple[Block, ...], slices: list[np.ndarray], nonnegative: bool, starts: int) -> dict[str, Any]:
    """Seconds and relative errors of both packages; the calls take turns."""
    fits: dict[str, Any] = {"errors": [], "orthogonality": []}
    seconds: dict[str, list[float]] = {"default": [], "one start": [], "compressed": [], "plain": []}
    peer_errors: dict[str, list[float]] = {"compressed": [], "plain": []}
    for seed in range(starts):
        for name, options in (("default", {}), ("one start", {"n_init": 1})):
            elapsed, result = timed(partial(parafac2, blocks, RANK, nonnegative=nonnegative, seed=seed, **options))
            seconds[name].append(elapsed)
            if name == "default":
                fits["errors"].append(math.sqrt(result.objective))
                fits["orthogonality"].append(orthogonality_error(result))
        for name, errors in peer_errors.items():
            elapsed, error = timed(partial(_tensorly, slices, name == "compressed", nonnegative, seed))
            seconds[name].append(elapsed)
            errors.append(error)
    return {**fits, "seconds": seconds, "tensorly_errors": peer_errors}


def _tensorly(slices: list[np.ndarray], compressed: bool, nonnegative: bool, seed: int) -> float:
    """Returns the relative error of one start of tensorly."""
    from tensorly.decomposition import parafac2 as tensorly_parafac2
    from tensorly.preprocessing import svd_compress_tensor_slices

    given = svd_compress_tensor_slices(slices)[0] if compressed else slices
    options = {"nn_modes": [2]} if nonnegative else {}
    init = "svd" if seed == 0 else "random"
    _, errors = tensorly_parafac2(
        given, RANK, init=init, random_state=seed, n_iter_max=300, tol=1e-6, return_errors=True, **options
    )
    return float(errors[-1])


def _rows(name: str, fits: dict[str, Any]) -> list[list[str]]:
    seconds = fits["seconds"]
    whole = f"{median(seconds['default']):.2f}"
    rows = [[name, "factorlens", f"{median(seconds['one start']):.2f}", whole, f"{max(fits['errors']):.5f}"]]
    for peer, errors in fits["tensorly_errors"].items():
        row = [name, f"tensorly, {peer}", f"{median(seconds[peer]):.2f}", f"{sum(seconds[peer]):.2f}"]
        rows.append([*row, f"{min(errors):.5f}"])
    return rows


def _figures(name: str, fits: dict[str, Any]) -> list[Figure]:
    best = min(map(min, fits["tensorly_errors"].values()))
    figures = [
        Figure(f"parafac2_{name}_error_over_best_of_tensorly", max(fits["errors"]) / best, 1.001, at_most=True),
        Figure(f"parafac2_{name}_orthogonality", max(fits["orthogonality"]), 1e-8, at_most=True),
    ]
    if name == "free":
        seconds = fits["seconds"]
        for peer in fits["tensorly_errors"]:
            one = median(seconds[peer]) / median(seconds["one start"])
            whole = sum(seconds[peer]) / median(seconds["default"])
            figures.append(Figure(f"parafac2_speed_of_one_start_against_tensorly_{peer}", one, 5))
            figures.append(Figure(f"parafac2_speed_against_all_starts_of_tensorly_{peer}", whole, 5))
    return figures


def planted(seed: int, nonnegative: bool, N: int = 200) -> tuple[list[Block], Tensor]:
    """Slices Q_j H diag(s_j) F with noise, and F."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rank = PLANTED_RANK
    F = normal(rank, N)
    if nonnegative:
        F = F.abs() * (torch.rand(rank, N, generator=generator) < 0.5)
    F = normalize(F, dim=1)
    H = torch.eye(rank, dtype=torch.float64) + 0.5 * normal(rank, rank) / rank**0.5
    blocks = []
    for j, width in enumerate(WIDTHS):
        Q = torch.linalg.qr(normal(width, rank))[0]
        s = 0.5 + 1.5 * torch.rand(rank, generator=generator, dtype=torch.float64)
        clean = Q @ (H * s) @ F
        noise = normal(width, N)
        samples = (clean + NOISE * clean.norm() / noise.norm() * noise).T.contiguous()
        blocks.append(Block(f"layer{j}", "activation", samples, (width,), signed=True))
    return blocks, F


def lowest_congruence(F: Tensor, expected: Tensor) -> float:
    """The smallest cosine of a planted factor with the found one that is matched to it."""
    from scipy.optimize import linear_sum_assignment

    cosines = (normalize(F, dim=1) @ normalize(expected, dim=1).T).abs()
    rows, columns = linear_sum_assignment(-cosines.numpy())
    return float(cosines[rows, columns].min())


def orthogonality_error(result: Parafac2Factorization) -> float:
    """The largest entry of |Qᵀ Q − I| of any slice."""
    identity = torch.eye(result.rank, dtype=torch.float64)
    return max(float((Q.T @ Q - identity).abs().max()) for Q in result.Q)
