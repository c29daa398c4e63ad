"""PARAFAC2 against tensorly, with and without a compression of the slices, and against planted factors."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.concepts.parafac2_curve import NEARLY, curves, fit_tensorly, seconds_until
from benchmarks.concepts.parafac2_data import NOISE, PLANTED_RANK, WIDTHS, cifar_blocks, planted
from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table, median
from benchmarks.solver.problems import load_problem
from lightning_factorlens.factorization import parafac2
from lightning_factorlens.results import Block, Parafac2Factorization

RANK = 10
#: Names of the two peers, and whether the slices are compressed.
PEERS = {"tensorly, compressed": True, "tensorly, plain": False}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Fits activations on MNIST and CIFAR-10, and planted slices, without and with a non-negative F."""
    problem = load_problem("mnist", data_dir)
    data = {"mnist": problem.blocks, "cifar": cifar_blocks(data_dir)}
    rows: list[list[str]] = []
    curve_rows: list[list[str]] = []
    figures: list[Figure] = []
    payload: dict[str, Any] = {"source": problem.source}
    for name, blocks in data.items():
        slices = [(block.samples.T / block.samples.norm()).numpy().astype(np.float64) for block in blocks]
        starts = range(3 if name == "mnist" and not quick else 1 if quick else 2)
        for constraint in ("free", "nonnegative") if name == "mnist" else ("free",):
            fits = _fits(blocks, slices, constraint == "nonnegative", starts)
            payload[f"{name}_{constraint}"] = fits
            rows += _rows(f"{name}, {constraint}", fits)
            figures += _figures(f"{name}_{constraint}", fits)
        best = _smallest_error(payload[f"{name}_free"])
        found = curves(blocks, slices, RANK, starts, best)
        payload[f"{name}_curves"] = found
        seconds = {method: seconds_until(points, best) for method, points in found.items()}
        curve_rows += [[name, method, f"{value:.2f}"] for method, value in seconds.items()]
        figures += _curve_figures(name, seconds)
    congruences = planted_congruences(4 if quick else 10)
    payload["planted_lowest_congruences"] = congruences
    figures.append(Figure("parafac2_planted_lowest_congruence", min(congruences), 0.99))
    text = (
        f"## PARAFAC2\n\n`python -m benchmarks.concepts --parts parafac2`. Rank {RANK}. MNIST: {problem.source}, "
        f"{len(data['mnist'])} slices; CIFAR-10: images and layers of the trained network, {len(data['cifar'])} "
        "slices. 512 images, every slice with unit norm, one thread. Processor seconds of whole calls, with the Gram "
        "matrices or tensorly's compression, until both converge at the tolerance 1e-6. Ours has six starts, and the "
        "error is the largest of all calls; that of tensorly is the smallest of its starts, one with the SVD and the "
        "others random.\n\n"
        + markdown_table(["data and F", "method", "seconds of one start", "of all starts", "relative error"], rows)
        + f"\n\nProcessor seconds of the shortest call with a relative error within {NEARLY:g} of the best one of all "
        "fits; of tensorly's starts the fastest.\n\n"
        + markdown_table(["data", "method", "seconds"], curve_rows)
        + f"\n\nPlanted factors of rank {PLANTED_RANK} in slices of the widths {WIDTHS} at {NOISE:.0%} noise, "
        f"{len(congruences)} data sets: lowest congruence of a factor {min(congruences):.4f}."
    )
    return Measured(text, payload, figures)


def planted_congruences(n_seeds: int) -> list[float]:
    """The smallest congruence of any factor, for each data set with a free and with a non-negative F."""
    congruences = []
    for seed in range(n_seeds):
        for nonnegative in (False, True):
            blocks, F = planted(seed, nonnegative)
            congruences.append(lowest_congruence(parafac2(blocks, PLANTED_RANK, nonnegative=nonnegative).F, F))
    return congruences


def _fits(blocks: tuple[Block, ...], slices: list[np.ndarray], nonnegative: bool, starts: range) -> dict[str, Any]:
    """Seconds and relative errors of both packages; the calls take turns."""
    fits: dict[str, Any] = {"errors": [], "orthogonality": []}
    seconds: dict[str, list[float]] = {"default": [], "one start": [], **{peer: [] for peer in PEERS}}
    peer_errors: dict[str, list[float]] = {peer: [] for peer in PEERS}
    for seed in starts:
        for name, options in (("default", {}), ("one start", {"n_init": 1})):
            elapsed, result = timed(partial(parafac2, blocks, RANK, nonnegative=nonnegative, seed=seed, **options))
            seconds[name].append(elapsed)
            if name == "default":
                fits["errors"].append(math.sqrt(result.objective))
                fits["orthogonality"].append(orthogonality_error(result))
        for peer, compressed in PEERS.items():
            elapsed, error = timed(partial(fit_tensorly, slices, RANK, compressed, nonnegative, seed))
            seconds[peer].append(elapsed)
            peer_errors[peer].append(error)
    return {**fits, "seconds": seconds, "tensorly_errors": peer_errors}


def _smallest_error(fits: dict[str, Any]) -> float:
    return min(*fits["errors"], *(error for errors in fits["tensorly_errors"].values() for error in errors))


def _rows(name: str, fits: dict[str, Any]) -> list[list[str]]:
    seconds = fits["seconds"]
    whole = f"{median(seconds['default']):.2f}"
    rows = [[name, "factorlens", f"{median(seconds['one start']):.2f}", whole, f"{max(fits['errors']):.5f}"]]
    for peer, errors in fits["tensorly_errors"].items():
        row = [name, peer, f"{median(seconds[peer]):.2f}", f"{sum(seconds[peer]):.2f}"]
        rows.append([*row, f"{min(errors):.5f}"])
    return rows


def _figures(name: str, fits: dict[str, Any]) -> list[Figure]:
    best = min(map(min, fits["tensorly_errors"].values()))
    figures = [
        Figure(f"parafac2_{name}_error_over_best_of_tensorly", max(fits["errors"]) / best, 1.001, at_most=True),
        Figure(f"parafac2_{name}_orthogonality", max(fits["orthogonality"]), 1e-8, at_most=True),
    ]
    seconds = fits["seconds"]
    for peer, compressed in PEERS.items():
        if name == "mnist_free" or (name == "cifar_free" and compressed):
            one = median(seconds[peer]) / median(seconds["one start"])
            whole = sum(seconds[peer]) / median(seconds["default"])
            kind = peer.split()[-1]
            figures.append(Figure(f"parafac2_{name}_speed_of_one_start_against_{kind}", one, 5))
            figures.append(Figure(f"parafac2_{name}_speed_against_all_starts_{kind}", whole, 5))
    return figures


def _curve_figures(name: str, seconds: dict[str, float]) -> list[Figure]:
    figures = []
    for peer, compressed in PEERS.items():
        if name == "mnist" or compressed:
            ratio = seconds[peer] / seconds["factorlens, one start"]
            figures.append(Figure(f"parafac2_{name}_speed_to_nearly_best_against_{peer.split()[-1]}", ratio, 5))
    return figures


def lowest_congruence(F: Tensor, expected: Tensor) -> float:
    """The smallest cosine of a planted factor with the found one that is matched to it."""
    cosines = (normalize(F, dim=1) @ normalize(expected, dim=1).T).abs()
    rows, columns = linear_sum_assignment(-cosines.numpy())
    return float(cosines[rows, columns].min())


def orthogonality_error(result: Parafac2Factorization) -> float:
    """The largest entry of |Qᵀ Q − I| of any slice."""
    identity = torch.eye(result.rank, dtype=torch.float64)
    return max(float((Q.T @ Q - identity).abs().max()) for Q in result.Q)
