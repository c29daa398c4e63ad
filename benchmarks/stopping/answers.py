"""How often the answers of `lightning_factorlens.results.findings` were right in the committed records.

    python -m benchmarks.stopping.answers           # prints the figures of both studies
    python -m benchmarks.stopping.answers --write   # and writes those of the newest study into the package

Nothing is chosen here: the answers were fixed before these figures were computed, and before the runs of the second
campaign were trained. A run is judged at every epoch at which the answers know enough, up to the last but one, by the
hidden test loss. Of the second campaign, those runs count that the package gives answers for: classifications of
images.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from benchmarks.stopping.campaign.derive import RECORDS as CAMPAIGN_RECORDS
from benchmarks.stopping.campaign.score import IMAGES
from benchmarks.stopping.campaign.tasks import PARTS
from benchmarks.stopping.campaign.third_score import NO_IMAGES
from benchmarks.stopping.candidates import DEFAULT
from benchmarks.stopping.certainty import write_certainty
from benchmarks.stopping.make_records import read
from benchmarks.stopping.replay import RECORDS, load
from lightning_factorlens.results import Observation, Scalars
from lightning_factorlens.results.findings import (
    LEVELLED_OFF,
    NO_SIGN,
    NOT_LEARNING,
    RISEN,
    STILL_LEARNING,
    UNKNOWN,
    Finding,
    run_findings,
)
from lightning_factorlens.results.leading_scalar import WINDOW

#: A rise of the test loss above its lowest by more than this fraction of it counts.
RISE = 0.1
#: What the runs of each study are, in words.
FIRST = "trainings of small networks that classify images (MNIST, CIFAR-10)"
NEWEST = (
    "trainings of small networks that classify images (MNIST, CIFAR-10, tasks made from these, scikit-learn's digits, "
    "drawn shapes)"
)


@dataclass(frozen=True)
class JudgedRun:
    """What a run is judged by, one number for each epoch.

    Attributes:
        name: Name of the run.
        consistency: The signal of the answers; NaN where it has no value.
        losses: The hidden test loss.
    """

    name: str
    consistency: Sequence[float]
    losses: Sequence[float]


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


def first_study() -> list[JudgedRun]:
    """All runs of the first study, of both its parts."""
    found = []
    for record in [*load(RECORDS, "dev"), *load(RECORDS, "confirm")]:
        found.append(JudgedRun(record["record"], DEFAULT.of(record), record["hidden"]["test_loss"]))
    return found


def newest_study() -> list[JudgedRun]:
    """The classifications of images among the runs of the second campaign, of all its parts."""
    found = []
    for part, tasks in PARTS.items():
        for task in tasks:
            is_image = task.dataset not in NO_IMAGES if part == "third" else task.dataset in IMAGES
            if not is_image:
                continue
            for path in sorted(CAMPAIGN_RECORDS.glob(f"{task.name}-s[0-9]*.json.gz")):
                record = read(path)
                values = [math.nan if value is None else value for value in record["signals"]["consistency"]]
                found.append(JudgedRun(record["record"], values, record["hidden"]["test_loss"]))
    return found


def moments(runs: Sequence[JudgedRun]) -> list[Moment]:
    """Runs at all epochs at which the answers know enough.

    Args:
        runs: The runs.
    """
    found = []
    for run in runs:
        history = []
        for epoch, value in enumerate(run.consistency, start=1):
            history.append(Observation(epoch, epoch, {"consistency": Scalars({"consistency": value})}))
            findings = run_findings(history).all
            if findings[0].verdict == UNKNOWN:
                continue
            until, after = run.losses[:epoch], run.losses[epoch:]
            has_new_low = bool(after) and min(after) < min(until)
            has_risen = median(until[-WINDOW:]) > (1 + RISE) * min(until)
            found.append(Moment(run.name, findings, has_new_low, has_risen, not after))
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
        if moment.is_last and moment.findings[1].verdict == verdict:
            chosen.append(moment.has_risen)
    return sum(chosen), len(chosen)


def answer_figures(runs: Sequence[JudgedRun], kind: str) -> dict[str, Any]:
    """The figures that a report quotes, as they are stored in the package.

    Args:
        runs: The runs of one study.
        kind: What they are, in words.
    """
    found = moments(runs)
    lows = {}
    for verdict in (STILL_LEARNING, LEVELLED_OFF, NOT_LEARNING):
        share, n_runs = new_lows(found, verdict)
        lows[verdict] = [round(100 * share), n_runs]
    return {
        "n_runs": len(runs),
        "kind": kind,
        "new_lows": lows,
        "rises": {verdict: list(rises(found, verdict)) for verdict in (RISEN, NO_SIGN)},
    }


def _print(name: str, figures: Mapping[str, Any]) -> None:
    print(f"{name}: {figures['n_runs']} {figures['kind']}")
    for verdict, (percent, n_runs) in figures["new_lows"].items():
        print(f"  still learning? {verdict:12s} new low of the test loss later: {percent} % ({n_runs} runs)")
    for verdict, (n_risen, n_runs) in figures["rises"].items():
        print(f"  memorising? {verdict:26s} test loss risen: {n_risen} of {n_runs} runs")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the newest study's figures into the package")
    arguments = parser.parse_args()
    newest = answer_figures(newest_study(), NEWEST)
    _print("first study", answer_figures(first_study(), FIRST))
    _print("second campaign", newest)
    if arguments.write:
        write_certainty({"answers": newest})


if __name__ == "__main__":
    main()
