"""How often the answers about a run were right in the recorded runs of ``benchmarks/stopping``."""

from __future__ import annotations

from lightning_factorlens.results.findings import LEARNING, MEMORISING, RISEN, UNKNOWN, Finding

#: What `run_findings` found in the 72 recorded runs; its docstring has the same counts.
RISE_CERTAINTY = "Of 49 recorded runs with such a rise, the test loss rose by more than a tenth in 47."
NO_RISE_CERTAINTY = (
    "Of 23 recorded runs without such a rise, the test loss rose by more than a tenth in 4 all the same."
)
#: Regret and lost accuracy of the default rule on the confirmation runs, as in the table of ``docs/stopping.md``.
REGRET = "0.22 (0.13 to 0.34)"
POINTS_LOST = "3.1 (1.9 to 4.6)"
STOP_CERTAINTY = (
    f"On 40 runs on which the default rule was tried once, its best epoch had a regret of {REGRET} in test loss, where "
    f"0 is the best epoch of the run and 1 a random one, and was {POINTS_LOST} points of accuracy below the best."
)
UNTESTED = "How often this answer is right has not been measured."


def certainty(finding: Finding) -> str:
    """How sure an answer is, in one sentence.

    Args:
        finding: The answer to one question about a run.

    Returns:
        The sentence; empty where the answer is that the record does not suffice.
    """
    if finding.verdict == UNKNOWN:
        return ""
    if finding.question == MEMORISING:
        return RISE_CERTAINTY if finding.verdict == RISEN else NO_RISE_CERTAINTY
    if finding.question == LEARNING:
        return UNTESTED
    return STOP_CERTAINTY
