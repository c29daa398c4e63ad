"""How often the answers about a run were right in the recorded runs of ``benchmarks/stopping``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_factorlens.results.findings import LEARNING, MEMORISING, UNKNOWN, Finding, StopAdvice

#: The figures, with the runs that they are of. ``python -m benchmarks.stopping.answers --write`` writes those of the
#: answers, and ``python -m benchmarks.stopping.campaign.third_score`` those of the stop.
FIGURES_FILE = Path(__file__).with_name("certainty.json")


@lru_cache
def figures() -> Mapping[str, Any]:
    """The figures of the recorded runs.

    Returns:
        ``"answers"``: the number of recorded runs and their kind; after each answer to "Still learning?" the
        percentage of epochs after which the test loss still reached a new low, as the mean over runs, and the number
        of runs with such an answer; after each answer to "Memorising?" at the end of a run, in how many the test loss
        had risen by more than a tenth, and the number of runs with such an answer. ``"stop"``: the number of
        confirmation runs, and by the default rule's signal and what is handed over the regret in test loss and the
        points of accuracy lost.
    """
    content: Mapping[str, Any] = json.loads(FIGURES_FILE.read_text(encoding="utf-8"))
    return content


#: How a sentence calls the rule that was tried with a signal.
RULES = {
    "accuracy_signal": "default rule",
    "loss_signal": "default rule for the loss",
    "consistency": "default rule of version 0.1, whose signal this record has,",
}


def certainty(finding: Finding, advice: StopAdvice | None = None) -> str:
    """How sure an answer is, in one sentence.

    Args:
        finding: The answer to one question about a run.
        advice: What a stopping rule has decided, where there is one.

    Returns:
        The sentence; empty where the answer is that the record does not suffice.

    Example:
        >>> from lightning_factorlens.results.findings import RISEN
        >>> certainty(Finding(MEMORISING, RISEN, "consistency has risen"))
        'In 62 of 71 recorded runs that ended with this answer the test loss had risen by more than a tenth.'
    """
    if finding.verdict == UNKNOWN:
        return ""
    answers = figures()["answers"]
    if finding.question == LEARNING:
        percent, n_runs = answers["new_lows"][finding.verdict]
        return (
            f"In {n_runs} recorded runs that had this answer, the test loss reached a new low later after {percent} % "
            "of the epochs with it."
        )
    if finding.question == MEMORISING:
        n_risen, n_runs = answers["rises"][finding.verdict]
        return (
            f"In {n_risen} of {n_runs} recorded runs that ended with this answer the test loss had risen by more than "
            "a tenth."
        )
    return _certainty_of_stop(advice)


def _certainty_of_stop(advice: StopAdvice | None) -> str:
    tried = figures()["stop"]
    if advice is None or not advice.is_default or advice.signal not in tried["by_signal"]:
        return "This rule with this signal was not tried on recorded runs, so that nothing is known of its errors."
    by_weights = tried["by_signal"][advice.signal]
    regret, points = by_weights["best epoch"]
    sentence = (
        f"On {tried['n_runs']} runs on which the {RULES[advice.signal]} was tried once, its best epoch had a regret of "
        f"{regret} in test loss, where 0 is the best epoch of the run and 1 a random one, and was {points} points of "
        "accuracy below the best"
    )
    if "average" in by_weights:
        regret, points = by_weights["average"]
        sentence += f"; the average of the weights up to five epochs after it had {regret} and {points}"
    return f"{sentence}; in brackets 95 % intervals."


def recorded_runs() -> str:
    """A sentence that says on how many recorded runs, and of which kind, the certainty of the answers rests."""
    answers = figures()["answers"]
    return (
        f"The counts beside the first two answers are of {answers['n_runs']} {answers['kind']}, whose test loss is "
        "known, and which were trained after the answers had been fixed. For other networks and data nothing is known."
    )
