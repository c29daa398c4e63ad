"""What a checkpoint keeps of past looks comes back as it was."""

import io
import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.checkpoint import from_text, to_text
from lightning_factorlens.types import Observation, RankCurve, RequiredRank


@pytest.fixture(scope="module")
def seen():
    """A whole look, without the tensors of N samples."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(384, 3)
    )
    seen = FactorLens(net, LensOptions(ranks=(1, 2, 4))).observe(torch.rand(24, 1, 8, 8), epoch=3, step=7)
    return replace(seen, images=None, factorization=None, similarity=())


def test_a_look_comes_back_bit_for_bit(seen):
    back = from_text(Observation, to_text(seen))
    assert [s.layer for s in back.spectra] == ["0", "2", "5"]
    for one, two in zip(seen.spectra, back.spectra):
        assert torch.equal(one.eigenvalues.double(), two.eigenvalues)
    bare = [replace(o, spectra=tuple(replace(s, eigenvalues=torch.empty(0)) for s in o.spectra)) for o in (seen, back)]
    for field in fields(Observation):
        assert repr(getattr(bare[0], field.name)) == repr(getattr(bare[1], field.name)), field.name


def test_it_is_a_string_that_weights_only_takes(seen):
    file = io.BytesIO()
    torch.save({"past": [to_text(seen)]}, file)
    file.seek(0)
    assert from_text(Observation, torch.load(file, weights_only=True)["past"][0]).curves == seen.curves


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.0, 1e-300, 0.1 + 0.2, 3.0, np.float64(0.1)])
def test_floats_are_not_rounded(value):
    back = from_text(RankCurve, to_text(RankCurve((1,), (value,), (0.5,), (0.25,)))).rmse[0]
    assert type(back) is float
    assert repr(back) == repr(float(value))


def test_an_older_version_is_read(seen):
    plain = json.loads(to_text(seen))
    for name in ("similarity", "skipped", "notes"):
        del plain[name]
    back = from_text(Observation, json.dumps({**plain, "gone": 1}))
    assert back.notes == back.similarity == ()
    assert back.skipped is None


def test_numpy_numbers_are_numbers_and_anything_else_is_refused():
    assert from_text(RequiredRank, to_text(RequiredRank(0.5, np.float32(2.5), False))).rank == 2.5
    with pytest.raises(TypeError, match="a checkpoint keeps records, numbers and words, found object"):
        to_text(RequiredRank(0.5, object(), False))
