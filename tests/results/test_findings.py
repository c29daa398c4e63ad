"""The three answers about a run, and where the signal does not suffice for one."""

import math

import pytest

from lightning_factorlens.results import Observation, Scalars
from lightning_factorlens.results.findings import UNKNOWN, StopAdvice, run_findings
from lightning_factorlens.results.leading_scalar import LeadingScalar, best_observation

FALLING = [2.0 - 0.1 * k for k in range(15)]


def run(values, notes=(), quantity="consistency", first_epoch=1):
    """A history with one observation an epoch; None leaves the record out, as in a run without the measurement."""
    history = []
    for epoch, value in enumerate(values, start=first_epoch):
        records = {} if value is None else {quantity: Scalars({quantity: value})}
        history.append(Observation(epoch, max(0, 10 * epoch - 1), records, notes=tuple(notes)))
    return history


def verdicts(history, **options):
    return [finding.verdict for finding in run_findings(history, **options).all]


def test_a_falling_signal_means_that_the_network_still_learns():
    findings = run_findings(run(FALLING))
    assert verdicts(run(FALLING)) == ["yes", "no sign", "not yet"]
    assert str(findings.learning) == "Still learning? yes: consistency reached a new low of 0.6 at epoch 15 (step 149)."
    assert str(findings.stop) == ("When to stop? not yet: consistency was still at its lowest at epoch 15 (step 149).")


def test_a_low_that_is_above_one_of_the_first_epochs_says_that_these_do_not_count():
    reason = run_findings(run([0.5, *FALLING[1:]])).learning.reason
    assert reason == "consistency reached a new low of 0.6 at epoch 15 (step 149), without the first 5 epochs"


def test_a_lasting_rise_is_a_sign_of_memorisation():
    history = run([*FALLING, *[0.8 + 0.05 * k for k in range(10)]])
    findings = run_findings(history)
    assert verdicts(history) == ["no", "likely, or over-confident", "epoch 15"]
    assert str(findings.memorising) == (
        "Memorising? likely, or over-confident: consistency has stayed over 10% above its lowest for 10 observations, "
        "+108% since epoch 15."
    )
    assert str(findings.stop) == (
        "When to stop? epoch 15: consistency was lowest then (step 149), 10 epochs before the end."
    )


def test_a_small_rise_that_levels_off_is_no_sign_of_memorisation():
    assert verdicts(run([*FALLING, *[0.65] * 10])) == ["levelled off", "no sign", "epoch 15"]


def test_a_rise_that_does_not_last_is_no_sign_of_memorisation():
    assert verdicts(run([*FALLING, 0.9, 0.9, 0.62, 0.9, 0.9, 0.9, 0.9]))[1] == "no sign"


def test_the_decision_of_a_stopping_rule_comes_first():
    history = run([*FALLING, *[0.9] * 10])
    stopped = run_findings(history, advice=StopAdvice("LabelFreeStopping", best_epoch=14, stop_epoch=24)).stop
    assert str(stopped) == (
        "When to stop? epoch 14: LabelFreeStopping found epoch 14 the best, 11 epochs before the end, and decided to "
        "stop after epoch 24."
    )
    going_on = run_findings(history, advice=StopAdvice("LabelFreeStopping", best_epoch=25, stop_epoch=None)).stop
    assert str(going_on) == (
        "When to stop? not yet: LabelFreeStopping found epoch 25 the best, the last, and has not decided to stop."
    )
    undecided = StopAdvice("LabelFreeStopping", best_epoch=None, stop_epoch=None)
    assert run_findings(history, advice=undecided).stop == run_findings(history).stop


def test_too_few_observations_say_nothing():
    findings = run_findings(run(FALLING[:10]))
    assert findings.learning.verdict == findings.memorising.verdict == UNKNOWN
    assert findings.learning.reason.startswith("the first 5 epochs do not count and 6 observations after them")
    assert verdicts(run(FALLING[:11]))[0] == "yes"


def test_the_first_epochs_do_not_count():
    history = run([0.1, 2.0, 1.9, 1.8, 1.7, *[1.6 - 0.1 * k for k in range(8)]])
    findings = run_findings(history)
    assert findings.learning.verdict == "yes"
    assert findings.stop.verdict == UNKNOWN
    assert "lowest at epoch 1" in findings.stop.reason


def test_without_consistency_the_reason_is_given():
    note = "no consistency: the output is read as regression, by the loss. Pass outputs='classes' if it is not"
    findings = run_findings(run([None] * 20, notes=[note]))
    assert {finding.verdict for finding in findings.all} == {UNKNOWN}
    assert {finding.reason for finding in findings.all} == {
        "no consistency: the output is read as regression, by the loss"
    }
    assert "has not been measured" in run_findings(run([None] * 3)).learning.reason
    assert verdicts([]) == [UNKNOWN] * 3


def test_a_signal_that_has_not_been_tested_has_a_best_epoch_alone():
    scalar = LeadingScalar("score", lower_is_better=False, name="factorlens/score")
    findings = run_findings(run([1.0, 3.0, 2.0], quantity="score"), scalar)
    assert findings.learning.verdict == findings.memorising.verdict == UNKNOWN
    assert "has not been tested" in findings.learning.reason
    assert findings.stop.reason == "factorlens/score was highest then (step 19), 1 epoch before the end"


def test_observations_without_a_value_are_passed_over():
    history = run([*FALLING, None, math.nan, *[0.9] * 5])
    assert verdicts(history) == ["no", "likely, or over-confident", "epoch 15"]
    assert best_observation(history) is history[14]


def test_the_observation_before_training_is_never_the_best():
    history = run([0.0, 2.0, 1.5], first_epoch=0)
    assert best_observation(history) is history[2]
    assert best_observation(history[:1]) is None


@pytest.mark.parametrize("values", [[*FALLING, *[0.0] * 10], [0.0] * 20])
def test_a_signal_of_zero_is_judged_too(values):
    assert verdicts(run(values))[1] == "no sign"


def test_everything_is_ascii_for_any_terminal():
    for values in (FALLING, [*FALLING, *[0.9] * 10], [None] * 8):
        for finding in run_findings(run(values)).all:
            assert str(finding).isascii()
