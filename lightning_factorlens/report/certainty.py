"""How often the answers about a run were right in the recorded runs of ``benchmarks/stopping``."""

from __future__ import annotations

from lightning_factorlens.results.findings import LEARNING, MEMORISING, NO_SIGN, RISEN, UNKNOWN, Finding

#: After an answer to "Still learning?": the percentage of epochs after which the test loss of a recorded run still
#: reached a new low, as the mean over runs, and the number of runs with such an answer.
NEW_LOWS = {"yes": (58, 67), "levelled off": (19, 55), "no": (5, 52)}
#: After an answer to "Memorising?" at the end of a recorded run: in how many runs the test loss had risen by more than
#: a tenth, and the number of runs with such an answer.
RISES = {RISEN: (47, 49), NO_SIGN: (4, 23)}
#: Regret and lost accuracy of the default rule on the confirmation runs, as in the table of ``docs/stopping.md``.
REGRET = "0.22 (0.13 to 0.34)"
POINTS_LOST = "3.1 (1.9 to 4.6)"
STOP_CERTAINTY = (
    f"On 40 runs on which the default rule was tried once, its best epoch had a regret of {REGRET} in test loss, where "
    f"0 is the best epoch of the run and 1 a random one, and was {POINTS_LOST} points of accuracy below the best."
)


def certainty(finding: Finding) -> str:
    """How sure an answer is, in one sentence; ``python -m benchmarks.stopping.answers`` computes the figures.

    Args:
        finding: The answer to one question about a run.

    Returns:
        The sentence; empty where the answer is that the record does not suffice.

    Example:
        >>> certainty(Finding(MEMORISING, RISEN, "consistency has risen"))
        'In 47 of 49 recorded runs that ended with this answer the test loss had risen by more than a tenth.'
    """
    if finding.verdict == UNKNOWN:
        return ""
    if finding.question == LEARNING:
        percent, n_runs = NEW_LOWS[finding.verdict]
        return (
            f"In {n_runs} recorded runs that had this answer, the test loss reached a new low later after {percent} % "
            "of the epochs with it."
        )
    if finding.question == MEMORISING:
        n_risen, n_runs = RISES[finding.verdict]
        return (
            f"In {n_risen} of {n_runs} recorded runs that ended with this answer the test loss had risen by more than "
            "a tenth."
        )
    return STOP_CERTAINTY
