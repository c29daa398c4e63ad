"""Concepts of planted changes are reported as what they are."""

import pytest
import torch
from made_concepts import make_concepts

from lightning_factorlens.concepts import concept_changes, follow_concepts
from lightning_factorlens.concepts.late_fit import fit_late
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results import Block


def sparse(g, *shape):
    return torch.rand(*shape, generator=g) * (torch.rand(*shape, generator=g) < 0.3)


def planted(seed, split, rank=6, N=200):
    """Factors F before and after, and two layers of each; row 0 is divided between rows 0 and 1, whose own one ends."""
    g = torch.Generator().manual_seed(seed)
    before = sparse(g, rank, N)
    after = before * (1 + 0.1 * torch.randn(rank, N, generator=g)).clamp_min(0)
    W = [sparse(g, m, rank) for m in (50, 40)]
    moved = [w.clone() for w in W]
    if split:
        is_first = torch.rand(N, generator=g) < 0.5
        after[1] = after[0] * ~is_first
        after[0] *= is_first
        for w in moved:
            w[:, :2] = sparse(g, len(w), 2)
    return before, layers(W, before, g), after, layers(moved, after, g)


def layers(W, F, g):
    found = []
    for i, w in enumerate(W):
        X = (w @ F).T
        X = X + 0.1 * float(X.square().mean().sqrt()) * torch.rand(X.shape, generator=g)
        found.append(Block(f"relu{i}", "activation", X.contiguous(), (len(w),)))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("backwards", [False, True])
def test_a_factor_planted_to_split_is_reported_as_split_and_backwards_as_merged(seed, backwards):
    before, first, after, second = planted(seed, split=True)
    if backwards:
        before, first, after, second = after, second, before, first
    inputs = torch.zeros(before.shape[1], 1)
    a = fit_late(first, 6, inputs=inputs)
    b = fit_late(second, 6, inputs=inputs, start=a.F)
    timeline = follow_concepts([a, b], ["epoch 1", "epoch 2"])
    changes = timeline.changes[0]
    place_before = match_rows(before, a.F)[0].tolist()
    place_after = match_rows(after, b.F)[0].tolist()
    whole, parts = (place_after[0], place_before[:2]) if backwards else (place_before[0], place_after[:2])
    expected = ((whole, tuple(sorted(parts))),)
    assert (changes.splits, changes.merges) == (((), expected) if backwards else (expected, ()))
    if not backwards:
        assert changes.deaths == (place_before[1],)
        assert f"epoch 2: concept {whole} is split into {min(parts)}, {max(parts)}" in str(timeline)
    assert sum(changes.continues) >= 4


@pytest.mark.parametrize("seed", range(3))
def test_drift_alone_is_no_event_and_concepts_keep_their_numbers(seed):
    _, first, _, second = planted(seed, split=False)
    inputs = torch.zeros(200, 1)
    a = fit_late(first, 6, inputs=inputs)
    b = fit_late(second, 6, inputs=inputs, start=a.F)
    timeline = follow_concepts([a, b, b])
    assert list(timeline.events()) == []
    assert timeline.changes[0].previous == tuple(range(6))
    assert 0 < max(timeline.changes[0].drift) < 0.05
    assert max(timeline.changes[1].drift) < 1e-6


def test_birth_death_and_nothing_left():
    F = torch.eye(4).repeat_interleave(3, 1)
    later = F.clone()
    later[1] = torch.rand(12, generator=torch.Generator().manual_seed(0)) * F[3]  # a part of another concept's images
    later[2] = 0
    changes = concept_changes(F[:3], later[:3])
    assert changes.births == (1,)
    assert changes.deaths == (1, 2)
    assert changes.continues == (True, False, False)
    assert changes.drift[1] is None
    grown = concept_changes(F[:2], F)
    assert (grown.births, grown.deaths) == ((2, 3), ())


def test_wrong_arguments():
    concepts = make_concepts(torch.eye(3))
    with pytest.raises(ValueError, match="^fits: found none"):
        follow_concepts([])
    with pytest.raises(ValueError, match="^labels: found 1 for 2 fits"):
        follow_concepts([concepts, concepts], ["epoch 1"])
    with pytest.raises(ValueError, match="^fits: number 1 is of other samples than the first"):
        follow_concepts([concepts, make_concepts(torch.eye(3), inputs=torch.ones(3, 1, 4, 4))])


def test_what_happened_at_one_step_is_told_in_one_line_for_births_and_one_for_deaths():
    before, after = torch.eye(6)[:3], torch.eye(6)[[0, 4, 5]]
    text = str(follow_concepts([make_concepts(before), make_concepts(after)], ["epoch 1", "epoch 2"]))
    assert text.splitlines()[1:] == ["epoch 2: concepts 1, 2 are new", "epoch 2: concepts 1, 2 are gone"]
