"""A report shows what the run's own rule has decided where that is recorded, and says whether it does."""

from dataclasses import replace

import pytest
from observations import make_observation

from lightning_factorlens.report.certainty import certainty
from lightning_factorlens.report.decisions import advice_of, stopping_texts, weights_in_words
from lightning_factorlens.report.sections.verdict import VERDICT, findings_of_subject
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import HandedOver, StoppingDecision
from lightning_factorlens.results.findings import StopAdvice

DECISION = StoppingDecision(
    tag="factorlens/stop",
    monitor="factorlens/loss_signal",
    rule="BestEpochBehind(…)",
    target="loss",
    mode="stop",
    epoch=1,
    stop=False,
    best_epoch=1,
    score=0.5,
    reason="no value below 0.4 for 10 measurements; the best epoch lies behind with an estimated probability of 83%",
)


def run(*decisions, handed_over=(), advice=None):
    """A run of one observation for each list of decisions."""
    history = []
    for epoch, found in enumerate(decisions, start=1):
        history.append(replace(make_observation(epoch, consistency=2 / epoch), decisions=tuple(found)))
    history[-1] = replace(history[-1], handed_over=tuple(handed_over))
    return Subject("run", "", tuple(history), advice=advice)


def decided(epoch, **changes):
    return replace(DECISION, epoch=epoch, **changes)


def texts_of(subject):
    return " ".join(f"{text.strong} {text.text}" for text in stopping_texts(subject))


def test_recorded_decisions_stand_in_place_of_a_replay():
    stopped = decided(3, stop=True, best_epoch=2, probability=0.83, action="stop")
    subject = run([decided(1)], [decided(2, best_epoch=2)], [stopped], handed_over=[HandedOver("", "best", 2, "")])
    assert advice_of(subject) == StopAdvice("LabelFreeStopping", 2, 3, 0.83, "loss_signal", is_default=True)
    text = texts_of(subject)
    assert "This is the run's own decision, from its record" in text
    assert (
        "with its default rule decided to stop after epoch 3 and ended the training (mode stop): no value below" in text
    )
    assert text.endswith("for 10 measurements. Weights at the end: those of epoch 2, the best one.")
    stop = findings_of_subject(subject).stop
    assert stop.verdict == "epoch 2"
    assert "tried once" in certainty(stop, advice_of(subject))
    assert any(part.strong == "Stopping rule." for part in VERDICT.build([subject]) if hasattr(part, "strong"))


def test_without_decisions_the_page_says_that_it_is_a_replay():
    subject = run([], [], [])
    assert "This is a replay" in texts_of(subject)
    assert "Weights at the end" not in texts_of(subject)
    assert advice_of(subject).source == "default rule"
    of_checkpoint = run([], [], [], advice=StopAdvice("LabelFreeStopping", 2, None))
    assert "when the checkpoint was written" in texts_of(of_checkpoint)


def test_another_rule_or_signal_is_named_and_has_no_certainty():
    for other in ({"target": None}, {"monitor": "factorlens/consistency"}):
        subject = run([decided(1, **other)], [decided(2, **other)])
        assert "BestEpochBehind(…) did not decide to stop (mode stop); after epoch 2" in texts_of(subject)
        assert "not tried on recorded runs" in certainty(findings_of_subject(subject).stop, advice_of(subject))


def test_the_first_stop_counts_and_of_several_rules_the_first_that_has_chosen():
    first = [decided(epoch, tag="a/stop", best_epoch=None) for epoch in (1, 2, 3)]
    second = [decided(epoch, stop=epoch > 1, best_epoch=1, mode="advise") for epoch in (1, 2, 3)]
    subject = run(*map(list, zip(first, second)))
    assert (advice_of(subject).best_epoch, advice_of(subject).stop_epoch) == (1, 2)
    assert "after epoch 2 and changed nothing (mode advise)" in texts_of(subject)
    assert texts_of(subject).count("Stopping rule.") == 2


@pytest.mark.parametrize(
    ("handed_over", "words"),
    [
        ([], "not recorded"),
        ([("unchanged", None)], "those of the last epoch"),
        ([("average", 9), ("unchanged", None)], "an average over epochs, up to epoch 9"),
        ([("average", 9), ("best", 4)], "those of epoch 4, the best one"),
    ],
)
def test_the_last_callback_that_changed_the_weights_tells_which_they_are(handed_over, words):
    found = [HandedOver("factorlens/stop", weights, epoch, "") for weights, epoch in handed_over]
    assert weights_in_words(run([decided(1)], handed_over=found)).startswith(words)


def test_weights_of_a_fit_after_which_the_run_went_on_are_not_those_of_its_end():
    subject = run([decided(1)], handed_over=[HandedOver("factorlens/stop", "best", 1, "")])
    went_on = replace(subject, history=[*subject.history, replace(subject.history[-1], handed_over=(), epoch=9)])
    assert weights_in_words(went_on).startswith("not recorded")
