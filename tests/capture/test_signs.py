"""Sign policies against their formulas."""

import pytest
import torch
from sign_policies import apply_sign_policies

from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.signs import POLICIES, Denormalize, Rectify, resolve_sign_policy


def test_sign_policies_against_their_formulas():
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    raw = input_blocks(x)
    X = raw[0].samples
    get = {n: apply_sign_policies(raw, p, POLICIES["rectify"]) for n, p in POLICIES.items()}
    assert torch.equal(get["rectify"][0].samples, X.clamp_min(0))
    assert torch.equal(get["split"][0].samples - get["split"][1].samples, X)
    assert [b.name for b in get["split"]] == ["input/0/pos", "input/0/neg"]
    assert get["semi"][0].signed
    assert torch.equal(get["semi"][0].samples, X)
    assert torch.equal(get["shift"][0].samples, X - X.min())
    pixels = torch.rand(5, 3, 4, 4)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
    normal = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    back = apply_sign_policies(input_blocks(normal), Denormalize(mean, std), POLICIES["rectify"])
    assert torch.allclose(torch.stack([b.samples for b in back], 1).view_as(pixels), pixels, atol=1e-6)
    with pytest.raises(ValueError, match="not the constants"):
        apply_sign_policies(input_blocks(normal), Denormalize([0.0] * 3, [0.2] * 3), POLICIES["rectify"])
    assert apply_sign_policies(input_blocks(pixels), POLICIES["split"], POLICIES["rectify"])[0].name == "input/0"


def test_policies_that_cannot_be_applied_are_named():
    assert resolve_sign_policy("input_sign_policy", "rectify") == Rectify()
    with pytest.raises(ValueError, match="input_sign_policy: found 'abs', allowed are 'rectify', .*Denormalize"):
        resolve_sign_policy("input_sign_policy", "abs")
    with pytest.raises(ValueError, match="activation_sign_policy: Denormalize undoes the normalisation of inputs"):
        resolve_sign_policy("activation_sign_policy", Denormalize([0.5], [0.5]))
    with pytest.raises(ValueError, match="activation_sign_policy: found <class"):
        resolve_sign_policy("activation_sign_policy", Rectify)
    with pytest.raises(ValueError, match="Denormalize: found mean="):
        Denormalize([0.5], [0.0])
    with pytest.raises(ValueError, match="Denormalize: found constants of 1 channels, but the probe has a channel 1"):
        apply_sign_policies(input_blocks(torch.rand(2, 2, 3, 3)), Denormalize([0.5], [0.5]), Rectify())
