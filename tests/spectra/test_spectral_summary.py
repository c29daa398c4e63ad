"""Squared singular values against the SVD of torch and numpy."""

import warnings

import numpy as np
import pytest
import torch

from lightning_factorlens.spectra.spectral_summary import squared_singular_values


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(
    "shape", [(3, 5, 9), (2, 9, 5), (4, 6, 6), (2, 1, 7), (2, 7, 1), (1, 1, 1), (0, 3, 2), (2, 0, 3)]
)
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_values_equal_those_of_the_svd(shape, scale):
    X = randn(*shape) * scale
    found = squared_singular_values(X)
    expected = torch.linalg.svdvals(X).square().flip(-1)
    assert found.shape == (shape[0], min(shape[1:]))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14 * scale**2)
    if X.numel():
        torch.testing.assert_close(
            found[0],
            torch.from_numpy(np.linalg.svd(X[0].numpy())[1] ** 2).flip(0),
            rtol=1e-10,
            atol=1e-14 * scale**2,
        )


def test_a_known_spectrum_is_resolved_down_to_the_threshold():
    """The absolute error is below n·eps·λ_max; an eigenvalue of 1e-10·λ_max has five correct digits."""
    n = 64
    wanted = torch.logspace(-10, 0, n, dtype=torch.float64)
    U = torch.linalg.qr(randn(n, n)).Q
    V = torch.linalg.qr(randn(100, n)).Q
    found = squared_singular_values((U * wanted.sqrt()) @ V.mT[None])[0]
    assert (found - wanted).abs().max() < n * torch.finfo(torch.float64).eps
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_is_read_exactly(dtype):
    X = randn(2, 5, 7).to(dtype)
    assert torch.equal(squared_singular_values(X), squared_singular_values(X.double()))


def test_zero_and_rank_deficient_matrices_have_no_negative_values():
    found = squared_singular_values(torch.stack([torch.zeros(6, 9), torch.ones(6, 9)]))
    assert torch.equal(found[0], torch.zeros(6, dtype=torch.float64))
    assert (found >= 0).all()
    assert found[1, -1] == pytest.approx(54)


def test_nan_in_one_matrix_does_not_affect_the_others():
    X = randn(3, 4, 5)
    X[1, 0, 0] = torch.inf
    found = squared_singular_values(X)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], squared_singular_values(X[[0, 2]]))


def test_matrices_without_a_batch_axis_are_rejected():
    with pytest.raises(ValueError, match=r"matrices must have shape \(b, rows, columns\), found \(4, 5\)"):
        squared_singular_values(randn(4, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_values_without_a_square_give_nan_without_a_warning(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = squared_singular_values(torch.diag_embed(torch.tensor([[1.0, 2.0], [value, 1.0]], dtype=torch.float64)))
    assert found[0].tolist() == [1.0, 4.0]
    assert found[1].isnan().all()
