"""Perturbations that replace or add: what they change, and that equal generators give equal results."""

import numpy as np
import pytest
import torch

from lightning_factorlens.metrics.perturbation import FeatureDropout, InputNoise, TokenMask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


INPUTS = {
    TokenMask(): torch.arange(400).view(4, 100),
    TokenMask(mask_id=7): torch.arange(400).view(4, 100),
    FeatureDropout(): torch.rand(50, 20),
    InputNoise(): torch.rand(4, 5, 6),
}


@pytest.mark.parametrize("perturbation", INPUTS, ids=repr)
def test_equal_generators_give_equal_results_and_no_global_random_number_is_drawn(perturbation):
    inputs = INPUTS[perturbation]
    before, state = inputs.clone(), torch.get_rng_state()
    first, second = perturbation.apply(inputs, generator()), perturbation.apply(inputs, generator())
    other = perturbation.apply(inputs, generator(1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(inputs, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.shape, first.dtype) == (inputs.shape, inputs.dtype)


def test_tokens_are_replaced_by_the_mask_or_by_tokens_of_the_same_sample():
    tokens = INPUTS[TokenMask()]
    masked = TokenMask(0.3, mask_id=1000).apply(tokens, generator())
    assert 0.2 < float((masked == 1000).float().mean()) < 0.4
    assert torch.equal(masked[masked != 1000], tokens[masked != 1000])
    moved = TokenMask(0.3).apply(tokens, generator())
    assert torch.equal(moved // 100, tokens // 100)
    assert 0.2 < float((moved != tokens).float().mean()) < 0.4


def test_features_are_replaced_by_their_means():
    table = INPUTS[FeatureDropout()]
    found = FeatureDropout(0.3).apply(table, generator()).numpy()
    means = np.broadcast_to(table.double().numpy().mean(0), found.shape)
    changed = found != table.numpy()
    assert 0.2 < changed.mean() < 0.4
    np.testing.assert_allclose(found[changed], means[changed], rtol=1e-6)


def test_noise_is_in_proportion_to_the_deviation():
    inputs = torch.randn(100, 10, 10) * 5
    noise = InputNoise(0.2).apply(inputs, generator()) - inputs
    assert float(noise.std()) == pytest.approx(0.2 * float(inputs.std()), rel=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenMask(0), "fraction: must be a number above 0"),
        (lambda: TokenMask(mask_id=-1), "mask_id: must be a whole number"),
        (lambda: FeatureDropout(1.5), r"fraction: .* found 1\.5"),
        (lambda: InputNoise(0), "scale: must be a number > 0"),
        (lambda: TokenMask().apply(torch.rand(2, 3), generator()), "no token ids"),
        (lambda: InputNoise().apply(torch.zeros(2, 3).long(), generator()), "noise cannot be added"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
