"""The temporal ensemble against the closed form of a moving average."""

import pytest
import torch

from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

OUTPUTS = [torch.randn(40, 6, generator=torch.Generator().manual_seed(s)) for s in range(7)]


@pytest.mark.parametrize("momentum", [0.3, 0.8])
def test_the_average_is_its_closed_form(momentum):
    ensemble = TemporalEnsemble(momentum)
    for t, outputs in enumerate(OUTPUTS):
        labels = ensemble.update(outputs)
        p = [z.double().softmax(1) for z in OUTPUTS[: t + 1]]
        weights = [momentum**t] + [(1 - momentum) * momentum ** (t - s) for s in range(1, t + 1)]
        expected = sum(w * q for w, q in zip(weights, p))
        assert torch.allclose(ensemble.average.double(), expected, atol=1e-6)
        assert torch.equal(labels, expected.argmax(1))


def test_without_momentum_the_labels_are_the_predicted_classes():
    ensemble = TemporalEnsemble(0.0)
    for outputs in OUTPUTS:
        assert torch.equal(ensemble.update(outputs), outputs.argmax(1))


def test_a_label_changes_only_after_several_changed_predictions():
    sure, other = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    ensemble = TemporalEnsemble(0.8)
    labels = [int(ensemble.update(z)) for z in (sure, other, other, other, other, other)]
    assert labels == [0, 0, 0, 0, 1, 1], "0.8⁴ < 1/2 < 0.8³"


def test_an_average_from_a_checkpoint_continues():
    one, first = TemporalEnsemble(0.8), TemporalEnsemble(0.8)
    for outputs in OUTPUTS[:4]:
        one.update(outputs)
        first.update(outputs)
    second = TemporalEnsemble(0.8, first.average.clone())
    for outputs in OUTPUTS[4:]:
        assert torch.equal(one.update(outputs), second.update(outputs))


def test_outputs_that_are_not_finite_leave_the_average_unchanged():
    ensemble = TemporalEnsemble()
    ensemble.update(OUTPUTS[0])
    before = ensemble.average.clone()
    assert torch.equal(ensemble.update(OUTPUTS[1] / 0), before.argmax(1))
    assert torch.equal(ensemble.average, before)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"momentum: must be at least 0 and below 1, found 1"):
        TemporalEnsemble(1)
    ensemble = TemporalEnsemble()
    ensemble.update(OUTPUTS[0])
    with pytest.raises(
        ValueError, match=r"outputs: must be for the images and classes of earlier updates, shape \(40, 6\)"
    ):
        ensemble.update(OUTPUTS[0][:5])
