"""How often the answers of `lightning_factorlens.results.findings` were right in the committed records.

python -m benchmarks.stopping.answers

Nothing is chosen here: the answers were fixed before these figures were computed. A run is judged at every epoch at
which the answers know enough, up to the last but one, by the hidden test loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.stopping.candidates import DEFAULT
from benchmarks.stopping.replay import RECORDS, load
from lightning_factorlens.results import Observation, Scalars
from lightning_factorlens.results.findings import MEMORISING, UNKNOWN, Finding, run_findings
from lightning_factorlens.results.leading_scalar import WINDOW

#: A rise of the test loss above its lowest by more than this fraction of it counts.
RISE = 0.1


@dataclass(frozen=True)
class Moment:
    """One run at one epoch.

    Attributes:
        run: Name of the run.
        findings: The answers at the epoch.
        has_new_low: Whether the test loss still reaches a new low afterwards.
        has_risen: Whether the test loss, as the median of the last five epochs, lies more than `RISE` above its lowest.
        is_last: Whether it is the last epoch of the run.
    """

    run: str
    findings: tuple[Finding, ...]
    has_new_low: bool
    has_risen: bool
    is_last: bool


def moments(part: str) -> list[Moment]:
    """All runs of a part at all epochs at which the answers know enough.

    Args:
        part: ``"dev"`` or ``"confirm"``.
    """
    found = []
    for record in load(RECORDS, part):
        history = []
        losses: list[float] = record["hidden"]["test_loss"]
        for epoch, value in enumerate(DEFAULT.of(record), start=1):
            history.append(Observation(epoch, epoch, {"consistency": Scalars({"consistency": value})}))
            findings = run_findings(history).all
            if findings[0].verdict == UNKNOWN:
                continue
            until, after = losses[:epoch], losses[epoch:]
            has_new_low = bool(after) and min(after) < min(until)
            has_risen = median(until[-WINDOW:]) > (1 + RISE) * min(until)
            found.append(Moment(record["record"], findings, has_new_low, has_risen, not after))
    return found


def new_lows(found: Sequence[Moment], verdict: str) -> tuple[float, int]:
    """How often the test loss reached a new low after an answer to "Still learning?", each run counting once.

    Args:
        found: From `moments`.
        verdict: The answer.

    Returns:
        The mean over runs of the share of the run's epochs, and the number of runs that had the answer.
    """
    by_run: dict[str, list[bool]] = {}
    for moment in found:
        if moment.findings[0].verdict == verdict and not moment.is_last:
            by_run.setdefault(moment.run, []).append(moment.has_new_low)
    shares = [mean(values) for values in by_run.values()]
    return (mean(shares) if shares else float("nan")), len(shares)


def rises(found: Sequence[Moment], verdict: str) -> tuple[int, int]:
    """How often the test loss had risen where the answer to "Memorising?" at the end of a run was this one.

    Args:
        found: From `moments`.
        verdict: The answer.

    Returns:
        The number of such runs in which it had, and the number of such runs.
    """
    chosen = []
    for moment in found:
        answer = next(finding for finding in moment.findings if finding.question == MEMORISING)
        if moment.is_last and answer.verdict == verdict:
            chosen.append(moment.has_risen)
    return sum(chosen), len(chosen)


def main() -> None:
    """Prints the figures of both parts together and of each."""
    parts = {part: moments(part) for part in ("dev", "confirm")}
    for name, found in {**parts, "both": [*parts["dev"], *parts["confirm"]]}.items():
        for verdict in sorted({moment.findings[0].verdict for moment in found}):
            share, n_runs = new_lows(found, verdict)
            print(
                f"{name:8s} still learning? {verdict:12s} new low of the test loss later: {share:.0%} ({n_runs} runs)"
            )
        for verdict in sorted({moment.findings[1].verdict for moment in found}):
            n_risen, n_runs = rises(found, verdict)
            print(f"{name:8s} memorising? {verdict:28s} test loss risen: {n_risen} of {n_runs} runs")


if __name__ == "__main__":
    main()
