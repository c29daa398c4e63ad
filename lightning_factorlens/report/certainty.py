"""How often the answers about a run were right in the recorded runs of ``benchmarks/stopping``."""

from __future__ import annotations

from lightning_factorlens.results.findings import LEARNING, MEMORISING, NO_SIGN, RISEN, UNKNOWN, Finding

#: After an answer to "Still learning?": the percentage of epochs after which the test loss of a recorded run still
#: reached a new low, as the mean over runs, and the number of runs with such an answer.
NEW_LOWS = {"yes": (58, 67), "levelled off": (19, 55), "no": (5, 52)}
#: After an answer to "Memorising?" at the end of a recorded run: in how many runs the test loss had risen by more than
#: a tenth, and the number of runs with such an answer.
RISES = {RISEN: (47, 49), NO_SIGN: (4, 23)}
#: Rows of the table of ``docs/stopping.md`` by whether a record has the default rule's own signal: the row's title,
#: regret in test loss, and points of accuracy lost, on the runs of the second confirmation.
CONFIRMED = {
    True: ("`LabelFreeStopping`, no labels", "0.32 (0.18 to 0.49)", "5.0 (2.5 to 8.1)"),
    False: ("the default of version 0.1, no labels", "0.45 (0.31 to 0.63)", "5.7 (3.2 to 8.8)"),
}
#: Runs of the second confirmation.
N_CONFIRMED = 47


def certainty(finding: Finding, has_signal: bool = True) -> str:
    """How sure an answer is, in one sentence; ``python -m benchmarks.stopping.answers`` computes the first figures.

    Args:
        finding: The answer to one question about a run.
        has_signal: Whether the run has recorded the default rule's own signal; of others the rule of version 0.1 judges
            the consistency.

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
    _, regret, points = CONFIRMED[has_signal]
    rule = "default rule" if has_signal else "default rule of version 0.1, whose signal this record has,"
    return (
        f"On {N_CONFIRMED} runs on which the {rule} was tried once, its best epoch had a regret of {regret} in test "
        f"loss, where 0 is the best epoch of the run and 1 a random one, and was {points} points of accuracy below the "
        "best."
    )
