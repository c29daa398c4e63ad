"""The statistical benchmark of the spectra on few trials: its samples are what it says, and its figures come out."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from benchmarks.spectra import statistics


def test_a_tridiagonal_matrix_has_the_eigenvalues_of_noise():
    random = np.random.default_rng(0)
    M, N = 64, 100
    whole = np.array([statistics.noise_eigenvalues(M, N, 9, random) for _ in range(300)])
    X = random.standard_normal((300, M, N))
    expected = np.linalg.eigvalsh(X @ X.transpose(0, 2, 1))
    for quantile in (0, M // 2, M - 1):
        error = math.hypot(*(values[:, quantile].std() / math.sqrt(300) for values in (whole, expected)))
        assert whole[:, quantile].mean() == pytest.approx(expected[:, quantile].mean(), abs=4 * error)
    single = np.array([statistics.noise_eigenvalues(M, N, 1, random) for _ in range(300)])
    assert single[:, -1].mean() == pytest.approx(expected[:, -1].mean(), rel=0.01)
    assert np.median(single, axis=1).mean() == pytest.approx(np.median(expected, axis=1).mean(), rel=0.01)


def test_the_figures_and_the_section_come_out():
    exponents = {n: statistics.exponent_row(n, 400, alpha=3.0) for n in (20, 50)}
    noise = [statistics.noise_row(20, 20, 1, 1000), statistics.noise_row(20, 30, 3, 200)]
    figures = statistics.judge(exponents, noise)
    assert [figure.name for figure in figures][:2] == [
        "spectra_alpha_bias_from_20",
        "spectra_alpha_coverage_lowest_from_50",
    ]
    assert exponents[20]["bias"] > 0.1
    assert abs(exponents[20]["bias_corrected"]) < 0.1
    assert exponents[50]["coverage_corrected"] > 0.9
    assert noise[0]["rate"] <= 0.006
    text = statistics.section({"processor": "", "date": ""}, exponents, noise)
    assert "| 20 × 20 | 1 | 1000 |" in text
