"""Eigenvalues in float32: errors within their estimate, and None where float32 does not suffice."""

import importlib

import numpy as np
import pytest
import torch

from lightning_factorlens.linalg.float32_eigenvalues import float32_eigenvalues

module = importlib.import_module("lightning_factorlens.linalg.float32_eigenvalues")


def matrix(kind, rows=260, columns=400):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(rows, columns, generator=g)
    if kind == "positive":
        return z.abs()
    if kind == "rows of many sizes":
        return z * torch.randn(rows, 1, generator=g).exp()
    if kind == "orthogonal":
        return torch.linalg.qr(z.T)[0].T
    if kind == "one size":
        return 0.05 * z.sign()
    if kind == "mean and little noise":
        return 1 + 0.01 * z
    return z


def exact(X):
    return torch.linalg.svdvals(X.double()).square().flip(0)


@pytest.mark.parametrize(
    "kind", ["noise", "positive", "rows of many sizes", "orthogonal", "one size", "mean and little noise"]
)
def test_errors_are_within_their_estimate(kind, monkeypatch):
    X = matrix(kind)
    expected = exact(X)
    for spread in (1e9, 25.0, 0.0):  # the tridiagonal matrix in float64, and the Gram matrix itself
        monkeypatch.setattr(module, "_LARGEST_SPREAD", spread)
        for form in (X, X.T, X.T.contiguous()):
            values, error = float32_eigenvalues(form)
            assert values.dtype == torch.float64
            assert float((values - expected).abs().max()) <= error <= 4e-6 * float(expected[-1])


def test_half_precision_is_read_exactly():
    X = matrix("noise").bfloat16()
    values, error = float32_eigenvalues(X)
    assert float((values - exact(X)).abs().max()) <= error


@pytest.mark.parametrize("factor", [0.0, 1e-25, 1e20, torch.nan, torch.inf])
def test_there_are_none_where_float32_does_not_suffice(factor):
    assert float32_eigenvalues(factor * matrix("noise")) is None


@pytest.mark.parametrize("factor", [torch.nan, 1.01])
def test_there_are_none_where_the_decomposition_fails(factor, monkeypatch):
    decompose = module._tridiagonal_eigenvalues
    monkeypatch.setattr(module, "_tridiagonal_eigenvalues", lambda gram: factor * decompose(gram))
    assert float32_eigenvalues(matrix("noise")) is None


def test_errors_of_one_sign_are_noticed():
    X = matrix("noise").numpy()
    gram = X.astype(np.float64) @ X.T.astype(np.float64)
    norms = gram.diagonal().copy()
    wrong = np.triu(gram + 1e-3)  # the norm of the error is 260 times that of an entry
    assert module._product_error(X, wrong, norms) >= 0.26
    assert module._product_error(X, np.triu(gram), norms) < 1e-9
