"""Folding new activations into fixed factors, against scipy's non-negative least squares."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from benchmarks.stopping.signals.factor_consistency import factor_consistency, fold_in


def layers(N=25, r=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    F = torch.rand(r, N, generator=g, dtype=torch.float64) * (torch.rand(r, N, generator=g) < 0.7)
    factors = [torch.rand(m, r, generator=g, dtype=torch.float64) for m in (30, 50)]
    return F, factors, [(W @ F).T for W in factors]


def test_folding_is_non_negative_least_squares():
    _, factors, samples = layers()
    g = torch.Generator().manual_seed(1)
    samples = [x + 0.5 * torch.randn(x.shape, generator=g, dtype=torch.float64) for x in samples]
    weights = [0.5, 2.0]
    F = fold_in(samples, factors, weights, sweeps=3000)
    A = np.concatenate([w * W.numpy() for w, W in zip(weights, factors)])
    for i in range(25):
        b = np.concatenate([w * x[i].numpy() for w, x in zip(weights, samples)])
        assert F[:, i].numpy() == pytest.approx(nnls(A, b)[0], abs=1e-6)


def test_the_probe_itself_gives_back_its_factors_and_no_inconsistency():
    F, factors, samples = layers()
    folded = fold_in(samples, factors, sweeps=3000)
    assert torch.allclose(folded, F, atol=1e-6)
    assert factor_consistency(F, [folded, 3 * folded]) == pytest.approx(0, abs=1e-9)


def test_it_grows_with_the_share_of_images_that_change_their_components():
    F, _, _ = layers()
    values = []
    for n in (0, 5, 15, 25):
        other = F.clone()
        other[:, :n] = F[[1, 2, 3, 0], :n]
        values.append(factor_consistency(F, [other]))
    assert values == sorted(values) and values[0] == pytest.approx(0, abs=1e-12) and values[-1] > 0.2


def test_it_is_its_formula_and_empty_images_agree_only_with_empty_ones():
    F, _, _ = layers()
    other = F[[1, 2, 3, 0]].clone()
    F, other = F.clone(), other
    F[:, 0] = other[:, 0] = 0
    other[:, 1] = 0
    scale = np.linalg.norm(F.numpy(), axis=1, keepdims=True)
    a, b = F.numpy() / scale, other.numpy() / scale
    cosine = [x @ y / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-300) for x, y in zip(a.T, b.T)]
    cosine[0] = 1.0
    assert F[:, 1].any()
    assert factor_consistency(F, [other]) == pytest.approx(1 - np.mean(cosine))


def test_shapes_that_do_not_fit_are_told():
    _, factors, samples = layers()
    with pytest.raises(ValueError, match=r"factors: need one of shape \(features, r\)"):
        fold_in(samples[:1], factors)
    with pytest.raises(ValueError, match=r"found \[\(25, 30\), \(50, 4\)\]"):
        fold_in(samples[:1], factors[1:])


@pytest.mark.parametrize("scale", [1e-30, 1e-21, 1e20, 1e30])
@pytest.mark.parametrize("of_factors", [True, False])
def test_fold_in_does_not_depend_on_the_scale(scale, of_factors):
    g = torch.Generator().manual_seed(0)
    samples = [torch.rand(20, 30, generator=g), torch.rand(20, 12, generator=g)]
    factors = [torch.rand(30, 4, generator=g), torch.rand(12, 4, generator=g)]
    expected = fold_in(samples, factors, [1.0, 2.0])
    if of_factors:
        found = fold_in(samples, [scale * W for W in factors], [1.0, 2.0]) * scale
    else:
        found = fold_in([scale * x for x in samples], factors, [1.0, 2.0]) / scale
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
