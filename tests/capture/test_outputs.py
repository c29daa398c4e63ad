"""The user's word for the output, and the decision."""

import pytest
import torch

from lightning_factorlens import FactorLens, FactorLensCallback
from lightning_factorlens.capture.outputs import OutputDecision, Outputs, check_outputs


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("logits", ValueError, "outputs: found 'logits', allowed are 'classes', .*'none'"),
        (3, TypeError, "outputs: found 3; give one of 'classes'"),
        (["classes"], TypeError, r"object such as Outputs\('classes', key='sex'\)"),
    ],
)
def test_a_wrong_word_is_refused_when_it_is_passed(word, error, message):
    for construct in (
        check_outputs,
        lambda word: FactorLensCallback(outputs=word),
        lambda word: FactorLens(torch.nn.Identity(), outputs=word),
    ):
        with pytest.raises(error, match=message):
            construct(word)


def test_a_wrong_key_is_refused():
    with pytest.raises(ValueError, match="key must be a key or position .* found True"):
        Outputs("classes", key=True)


def test_a_decision_survives_a_checkpoint(tmp_path):
    decision = OutputDecision("classes", "sex", (2,), "cross-entropy in the training step", may_be_classes=True)
    torch.save(decision.state_dict(), tmp_path / "state.pt")
    assert OutputDecision.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True)) == decision


def test_class_scores_are_read_from_the_named_part_alone():
    output = {"age": torch.rand(4, 3), "sex": torch.rand(4, 2)}
    assert OutputDecision("classes", "sex", (2,)).class_scores(output, 4).shape == (4, 2)
    assert OutputDecision("regression", "age", (3,)).class_scores(output, 4) is None
    assert OutputDecision("regression", "age", (3,)).tensor(output, 4).shape == (4, 3)
    assert OutputDecision("classes", "race", (3,)).class_scores(output, 4) is None


def test_rounded_probabilities_sum_to_one_again():
    p = (3 * torch.randn(64, 7, generator=torch.Generator().manual_seed(0))).softmax(1).bfloat16()
    found = OutputDecision("classes", "", (7,), is_probability=True).class_scores(p, 64)
    assert (p.float().sum(1) - 1).abs().max() > 1e-3
    assert (found.sum(1) - 1).abs().max() < 1e-6
    exact = torch.rand(8, 5).softmax(1)
    assert torch.equal(OutputDecision("classes", "", (5,), is_probability=True).class_scores(exact, 8), exact)


def test_alternatives_advise_only_what_can_be_true():
    assert "outputs='classes'" in OutputDecision("unknown", may_be_classes=True).alternatives
    several = OutputDecision("unknown", may_be_classes=True, class_key="sex").alternatives
    assert "outputs=Outputs('classes', key='sex')" in several
    for decision in (OutputDecision("unknown"), OutputDecision("regression", may_be_classes=True)):
        assert "outputs='classes'" not in decision.alternatives
        assert "PerturbationConsistency" in decision.alternatives


@pytest.mark.parametrize(("kind", "has_failed"), [("multilabel", True), ("pixel_classes", True), ("embedding", False)])
def test_the_alternatives_say_where_a_stop_without_labels_has_failed(kind, has_failed):
    assert ("lost 15 to 50 points" in OutputDecision(kind).alternatives) == has_failed
