"""Planted concepts are stable, and one more than there are is not."""

import pytest
import torch
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts.captured_probe import CapturedProbe
from lightning_factorlens.concepts.stability import measure_stability
from lightning_factorlens.results import Block


def captured(N, seed, rank=5):
    """Layers of planted factors; the neurons are the same for every seed."""
    g = torch.Generator().manual_seed(0)
    W = [torch.rand(m, rank, generator=g) * (torch.rand(m, rank, generator=g) < 0.3) for m in (50, 40)]
    g.manual_seed(1 + seed)
    F = torch.rand(rank, N, generator=g) * (torch.rand(rank, N, generator=g) < 0.3)
    blocks = []
    for i, w in enumerate(W):
        X = (w @ F).T
        X = X + 0.3 * float(X.square().mean().sqrt()) * torch.rand(X.shape, generator=g)
        blocks.append(Block(f"relu{i}", "activation", X.contiguous(), (len(w),)))
    return CapturedProbe(tuple(blocks), torch.full((N, 1), float(seed)), None, None, "unit", None, 0)


def test_planted_concepts_survive_and_superfluous_ones_are_marked():
    stability = measure_stability(captured(200, 0), 5, restarts=2, other=captured(150, 1))
    shapes = {kind: tuple(cosine.shape) for kind, cosine in stability.cosine.items()}
    assert shapes == {"seeds": (2, 5), "random starts": (2, 5), "halves": (2, 5), "other probe": (1, 5)}
    assert float(stability.lowest.min()) > 0.95
    assert stability.survives.all()
    assert 0 < stability.chance < 0.6
    many = measure_stability(captured(200, 0), 9, restarts=2, other=captured(150, 1))
    assert 5 <= int(many.survives.sum()) < 9
    assert str(many).count("not stable") == 9 - int(many.survives.sum())
    assert f"chance {many.chance:.2f}; stable from 0.70" in str(many)


def test_the_probe_passes_once_through_the_model(passes):
    lens = FactorLens(make_net())
    lens.select_layers(make_probe(20))
    passes.clear()
    stability = lens.concept_stability(make_probe(20), rank=3, restarts=1, other_probe=make_probe(24) * 0.5)
    assert sum(passes) == 20 + 24
    assert torch.equal(stability.concepts.F, lens.concepts(make_probe(20), rank=3).F)


def test_halves_with_too_few_samples_are_refused():
    with pytest.raises(ValueError, match=r"^rank: 9 concepts are fitted to each half .* needs 18 samples, found 16"):
        FactorLens(make_net()).concept_stability(make_probe(16), rank=9)
    with pytest.raises(ValueError, match="^restarts: "):
        FactorLens(make_net()).concept_stability(make_probe(16), rank=2, restarts=0)
    with pytest.raises(ValueError, match="^threshold: must be a number"):
        FactorLens(make_net()).concept_stability(make_probe(16), rank=2, threshold="high")
