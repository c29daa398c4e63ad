"""Statistical claims about spectra: bias of α, coverage of its interval, and false spikes of noise.

    python -m benchmarks.spectra.statistics [--quick]

Samples of a power law and of Gaussian noise, whose answers are known. One thread, a few minutes; --quick takes a tenth
of the trials. Every rate has a standard error of √(rate / trials).
"""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from lightning_factorlens.spectra.marchenko_pastur import FALSE_SPIKE_RATE, bulk_edge
from lightning_factorlens.spectra.power_law import fit_power_law

#: The bias relative to α is the larger, the larger α; relative to α − 1 it is the same for all, as the fit is
#: equivariant.
ALPHA = 8.0
#: Number of eigenvalues, and number of samples.
SAMPLES = {8: 4000, 20: 20000, 30: 10000, 50: 10000, 100: 6000, 200: 4000, 500: 1500, 1000: 600}
#: Rows, columns, pooled matrices, and number of trials.
NOISE = (
    (20, 20, 1, 40000), (20, 27, 1, 40000), (20, 200, 1, 40000), (20, 4608, 1, 40000), (32, 32, 1, 30000),
    (32, 32, 9, 6000), (64, 64, 1, 30000), (64, 576, 1, 30000), (128, 128, 1, 20000), (256, 256, 1, 8000),
    (512, 512, 1, 6000), (512, 4608, 1, 10000),
)  # fmt: skip


def main() -> None:
    """Measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    args = parser.parse_args()
    torch.set_num_threads(1)
    fraction = 0.1 if args.quick else 1.0
    about = machine(["scipy"])
    exponents = {n: exponent_row(n, int(samples * fraction)) for n, samples in SAMPLES.items()}
    noise = [noise_row(M, N, b, int(trials * fraction)) for M, N, b, trials in NOISE]
    figures = judge(exponents, noise)
    write_json("spectra", "statistics", {"machine": about, "exponents": exponents, "noise": noise}, figures)
    write_section("spectra", "statistics", section(about, exponents, noise))
    print_figures(figures)


def exponent_row(n: int, samples: int, alpha: float = ALPHA) -> dict[str, float]:
    """Bias of α, plain and corrected, and coverage of the intervals, for samples of a power law.

    Args:
        n: Number of values of a sample.
        samples: Number of samples.
        alpha: Their exponent.

    Returns:
        Relative biases of α, and the fractions of samples whose interval contains it.
    """
    random = np.random.default_rng(n)
    plain = []
    corrected = []
    plain_covers = 0
    covers = 0
    for _ in range(samples):
        fit = fit_power_law(torch.from_numpy((1 - random.random(n)) ** (-1 / (alpha - 1))))
        if math.isfinite(fit.alpha_corrected):
            plain.append(fit.alpha)
            corrected.append(fit.alpha_corrected)
            plain_covers += abs(fit.alpha - alpha) < 1.96 * fit.sigma
            covers += fit.alpha_low < alpha < fit.alpha_high
    return {
        "samples": len(plain),
        "bias": float(np.mean(plain)) / alpha - 1,
        "bias_corrected": float(np.mean(corrected)) / alpha - 1,
        "coverage": plain_covers / len(plain),
        "coverage_corrected": covers / len(plain),
    }


def noise_row(M: int, N: int, b: int, trials: int) -> dict[str, float]:
    """Fraction of noise spectra that have a spike.

    Args:
        M: Rows of a matrix, at most ``N``.
        N: Columns.
        b: Number of matrices whose eigenvalues are pooled.
        trials: Number of spectra.

    Returns:
        The shape, the number of trials, and the rate.
    """
    random = np.random.default_rng(M * N + b)
    hits = 0
    for _ in range(trials):
        values = torch.from_numpy(np.concatenate([noise_eigenvalues(M, N, b, random) for _ in range(b)]))
        hits += bulk_edge(values, (M, N)).spikes != 0
    return {"M": M, "N": N, "b": b, "trials": trials, "rate": hits / trials}


def noise_eigenvalues(M: int, N: int, b: int, random: np.random.Generator) -> np.ndarray:
    """Eigenvalues of X Xᵀ for Gaussian X, of shape (M, N), as those of a random tridiagonal matrix.

    Dumitriu and Edelman (2002), "Matrix models for beta ensembles". For a single matrix only the largest and the two
    middle eigenvalues are computed, on which the edge and the count of spikes depend; the others are filled in.
    """
    diagonal = np.sqrt(random.chisquare(N - np.arange(M)))
    below = np.sqrt(random.chisquare(np.arange(M - 1, 0, -1)))
    squares = diagonal**2
    squares[1:] += below**2
    products = diagonal[:-1] * below
    if b > 1 or M < 64:
        return eigvalsh_tridiagonal(squares, products)
    middle = eigvalsh_tridiagonal(squares, products, select="i", select_range=((M - 1) // 2, M // 2))
    largest = eigvalsh_tridiagonal(squares, products, select="i", select_range=(M - 1, M - 1))
    values = np.full(M, middle.mean())
    values[-1] = largest[0]
    return values


def judge(exponents: dict[int, dict[str, float]], noise: list[dict[str, float]]) -> list[Figure]:
    """The figures: largest bias, extreme coverages and extreme rates."""
    biases = [abs(row["bias_corrected"]) for n, row in exponents.items() if n >= 20]
    coverages = [row["coverage_corrected"] for n, row in exponents.items() if n >= 50]
    ratios = [row["rate"] / FALSE_SPIKE_RATE for row in noise]
    return [
        Figure("spectra_alpha_bias_from_20", max(biases), 0.03, at_most=True),
        Figure("spectra_alpha_coverage_lowest_from_50", min(coverages), 0.93),
        Figure("spectra_alpha_coverage_highest_from_50", max(coverages), 0.97, at_most=True),
        Figure("spectra_false_spikes_over_stated_highest", max(ratios), 2, at_most=True),
        Figure("spectra_false_spikes_over_stated_lowest", min(ratios), 0.5),
    ]


def section(about: dict[str, Any], exponents: dict[int, dict[str, float]], noise: list[dict[str, float]]) -> str:
    """The whole section."""
    lines = []
    for n, row in exponents.items():
        numbers = [f"{row[key]:+.1%}" for key in ("bias", "bias_corrected")]
        numbers += [f"{row[key]:.1%}" for key in ("coverage", "coverage_corrected")]
        lines.append([str(n), str(row["samples"]), *numbers])
    rates = []
    for row in noise:
        error = math.sqrt(max(row["rate"], 1 / row["trials"]) / row["trials"])
        shape = f"{row['M']} × {row['N']}"
        rates.append([shape, str(row["b"]), str(row["trials"]), f"{row['rate']:.2%} ± {error:.2%}"])
    header = [
        "eigenvalues",
        "samples",
        "bias of α",
        "of the corrected α",
        "α ± 1.96 σ contains α",
        "95 % interval does",
    ]
    return "\n\n".join(
        [
            "## Statistics of the spectra",
            f"`python -m benchmarks.spectra.statistics`: {about['processor']}, {about['date']}. Samples of a power law "
            f"with α = {ALPHA:g}, x_min fitted. The bias relative to α − 1 is the same for all α.",
            markdown_table(header, lines),
            "Gaussian noise with at least one eigenvalue above the Marchenko–Pastur edge; 0.10 % is stated.",
            markdown_table(["shape", "pooled matrices", "spectra", "with a false spike"], rates),
        ]
    )


if __name__ == "__main__":
    main()
