"""Steady labels: against the closed form of a moving average and against what they reduce to."""

import pytest
import torch

from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

LOOKS = [torch.randn(40, 6, generator=torch.Generator().manual_seed(s)) for s in range(7)]


@pytest.mark.parametrize("memory", [0.3, 0.8])
def test_the_average_is_its_closed_form(memory):
    steady = TemporalEnsemble(memory)
    for t, outputs in enumerate(LOOKS):
        labels = steady.update(outputs)
        p = [z.double().softmax(1) for z in LOOKS[: t + 1]]
        weights = [memory**t] + [(1 - memory) * memory ** (t - s) for s in range(1, t + 1)]
        expected = sum(w * q for w, q in zip(weights, p))
        assert torch.allclose(steady.average.double(), expected, atol=1e-6)
        assert torch.equal(labels, expected.argmax(1))


def test_without_memory_it_is_the_consistency_with_the_networks_own_choice():
    steady = TemporalEnsemble(0.0)
    for outputs, moved in zip(LOOKS, LOOKS[1:]):
        labels = steady.update(outputs)
        assert torch.equal(labels, outputs.argmax(1))
        log_p = torch.stack([moved, outputs]).double().log_softmax(-1)
        expected = -log_p[:, torch.arange(len(outputs)), outputs.argmax(1)].mean()
        assert pseudo_label_cross_entropy(labels, [moved, outputs]) == pytest.approx(float(expected), rel=1e-6)


def test_it_is_the_cross_entropy():
    labels = torch.randint(0, 6, (40,), generator=torch.Generator().manual_seed(9))
    expected = sum(torch.nn.functional.cross_entropy(z.double(), labels) for z in LOOKS[:3]) / 3
    assert pseudo_label_cross_entropy(labels, LOOKS[:3]) == pytest.approx(float(expected), rel=1e-6)


def test_a_wandering_answer_does_not_move_the_label_at_once():
    sure, other = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    steady = TemporalEnsemble(0.8)
    labels = [int(steady.update(z)) for z in (sure, other, other, other, other, other)]
    assert labels == [0, 0, 0, 0, 1, 1], "0.8⁴ < 1/2 < 0.8³"


def test_an_average_from_a_checkpoint_goes_on():
    one, first = TemporalEnsemble(0.8), TemporalEnsemble(0.8)
    for outputs in LOOKS[:4]:
        one.update(outputs)
        first.update(outputs)
    second = TemporalEnsemble(0.8, first.average.clone())
    for outputs in LOOKS[4:]:
        assert torch.equal(one.update(outputs), second.update(outputs))


def test_a_look_that_gave_no_numbers_is_forgotten():
    steady = TemporalEnsemble()
    steady.update(LOOKS[0])
    before = steady.average.clone()
    assert torch.equal(steady.update(LOOKS[1] / 0), before.argmax(1))
    assert torch.equal(steady.average, before)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"momentum: must be at least 0 and below 1, found 1"):
        TemporalEnsemble(1)
    steady = TemporalEnsemble()
    steady.update(LOOKS[0])
    with pytest.raises(
        ValueError, match=r"outputs: must be for the images and classes of earlier updates, shape \(40, 6\)"
    ):
        steady.update(LOOKS[0][:5])
