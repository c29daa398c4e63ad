"""Replays rules over derived records: which epoch each would have kept, where it would have stopped, and the cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any, Literal

from benchmarks.stopping.make_records import read
from benchmarks.stopping.tasks import CONFIRMATION, DEVELOPMENT, record_name
from lightning_factorlens.stopping import Rule, epoch_infos, replay

Record = Mapping[str, Any]
Series = Sequence[float]
RECORDS = Path(__file__).with_name("records")
#: Largest regret that enters a mean.
CAP = 10.0
#: Smallest denominator of a regret, in nats.
LEAST = 0.005
#: Accuracy that a premature stop has lost.
PREMATURE = 0.01
#: The lens's shift for these images, one pixel in sixteen; it replaces ``{px}`` in the name of a signal.
PIXELS = {"mnist": 1, "cifar10": 2}
COMBINED: Mapping[str, Callable[[Sequence[float]], float]] = {"mean": mean, "sum": sum, "consensus": median}
FixedChoice = Literal["last", "random"]


def load(folder: Path, part: str) -> list[dict[str, Any]]:
    """The existing records of a part in the order of the tasks; records of the other part are not opened."""
    tasks = {"dev": DEVELOPMENT, "confirm": CONFIRMATION}[part]
    paths = [folder / f"{record_name(task, seed)}.json.gz" for task in tasks for seed in task.seeds]
    return [read(path) for path in paths if path.exists()]


@dataclass(frozen=True)
class Signal:
    """One series of a record, or several that are combined into one.

    Attributes:
        names: Names of signals, or ``validation/…`` and ``training/…``; ``{px}`` is replaced by the lens's shift.
        combine: ``"mean"`` of the values; their ``"sum"``; or ``"consensus"``, their median after each series has been
            standardized online by its own mean and standard deviation so far.
        over: Number of epochs of a causal moving average; 1 for none.
    """

    names: tuple[str, ...]
    combine: Literal["mean", "sum", "consensus"] = "mean"
    over: int = 1

    def of(self, record: Record) -> list[float]:
        """The values, one per epoch; NaN where there is none."""
        columns = [named(record, name) for name in self.names]
        if self.combine == "consensus":
            columns = [standardised(c) for c in columns]
        combined = [COMBINED[self.combine](values) for values in zip(*columns)]
        if self.over == 1:
            return combined
        windows = [combined[max(0, t + 1 - self.over) : t + 1] for t in range(len(combined))]
        return [mean(w) if len(w) == self.over else math.nan for w in windows]


def named(record: Record, name: str) -> list[float]:
    """A series of a record by name, with NaN for None."""
    name = name.format(px=PIXELS.get(record["task"]["dataset"], 1))
    kind, _, rest = name.partition("/")
    values = record[kind][rest] if kind in ("validation", "training") else record["signals"][name]
    return [math.nan if v is None else float(v) for v in values]


def standardised(values: Series) -> list[float]:
    """Each value minus the mean of all values so far, divided by their standard deviation; 0 while that is 0."""
    result = []
    for t, value in enumerate(values):
        past = [v for v in values[: t + 1] if math.isfinite(v)]
        spread = pstdev(past) if len(past) > 1 else 0.0
        result.append((value - mean(past)) / spread if spread else value * 0)
    return result


@dataclass(frozen=True)
class Candidate:
    """A rule on a signal, or a choice of an epoch that needs no signal.

    Attributes:
        name: Name in the tables.
        needs: ``"probe"``, ``"weights"``, ``"training images"``, ``"training labels"``, ``"validation labels"``,
            ``"hindsight"`` or ``"nothing"``.
        rule: A rule of `lightning_factorlens.stopping`, or ``"last"``, ``"random"``, or a fraction of the epochs.
        signal: The signal of the rule; None for a choice that needs none.
        planned: Whether the schedule of the learning rate is known beforehand.
        ours: Whether it is a variant of the default and not a baseline.
    """

    name: str
    needs: str
    rule: Rule | FixedChoice | float
    signal: Signal | None = None
    planned: bool = True
    ours: bool = False

    @property
    def label_free(self) -> bool:
        """Whether it is a label-free baseline of the default."""
        return not self.ours and self.needs in ("probe", "weights", "training images", "nothing")


@dataclass(frozen=True)
class Outcome:
    """The measures of the protocol for a candidate on a record; means over the epochs for a random choice.

    Attributes:
        chosen: The epoch kept, counted from 1; NaN for a random choice.
        stop: The epoch after which training ended.
        regret: The regret of the kept weights, uncapped.
        points: Accuracy of the kept weights lost relative to the run's best, in percentage points.
        last_regret: The regret of the weights with which training ended, uncapped: what a user has who kept no others.
        last_points: Their accuracy lost relative to the run's best, in percentage points.
        below_last: Accuracy lost relative to the last epoch, in percentage points.
        saved: Fraction of the epochs that were not trained.
        premature: Whether it stopped before the end and lost more than one point relative to the mean of the last three
            epochs.
    """

    chosen: float
    stop: int
    regret: float
    points: float
    last_regret: float
    last_points: float
    below_last: float
    saved: float
    premature: bool


def decide(candidate: Candidate, record: Record) -> tuple[list[int], int]:
    """The epochs that the candidate may keep, all equally likely, and the epoch after which it stops."""
    T = len(record["hidden"]["test_loss"])
    if candidate.rule == "last":
        return [T], T
    if candidate.rule == "random":
        return list(range(1, T + 1)), T
    if isinstance(candidate.rule, float):
        epoch = max(1, round(candidate.rule * T))
        return [epoch], epoch
    assert isinstance(candidate.rule, Rule) and candidate.signal is not None
    others = {name: named(record, name) for name in candidate.rule.metrics}
    infos = epoch_infos(T, record["training"]["learning_rate"], candidate.planned, others)
    decisions = replay(candidate.rule, candidate.signal.of(record), infos)
    stop = next((t for t, v in enumerate(decisions, 1) if v.stop), T)
    best = decisions[stop - 1].best_epoch
    return [stop if best is None else best], stop


def outcome(candidate: Candidate, record: Record) -> Outcome:
    """Scores a candidate on a record by the measures of the protocol."""
    loss, accuracy = record["hidden"]["test_loss"], record["hidden"]["test_accuracy"]
    T = len(loss)
    chosen, stop = decide(candidate, record)
    # a choice that needs no signal ends training with the weights that it chose
    final = chosen if candidate.signal is None else [stop]
    scale = max(mean(loss) - min(loss), LEAST)
    kept = mean(accuracy[t - 1] for t in chosen)
    early = stop < T and kept < mean(accuracy[-3:]) - PREMATURE - 1e-9
    return Outcome(
        chosen=float(chosen[0]) if len(chosen) == 1 else math.nan,
        stop=stop,
        regret=mean((loss[t - 1] - min(loss)) / scale for t in chosen),
        points=100 * (max(accuracy) - kept),
        last_regret=mean((loss[t - 1] - min(loss)) / scale for t in final),
        last_points=100 * (max(accuracy) - mean(accuracy[t - 1] for t in final)),
        below_last=100 * (accuracy[-1] - kept),
        saved=(T - stop) / T,
        premature=early,
    )


def capped(outcomes: Sequence[Outcome]) -> list[float]:
    """The regrets of the kept weights as they enter a mean."""
    return [min(CAP, o.regret) for o in outcomes]


def capped_last(outcomes: Sequence[Outcome]) -> list[float]:
    """The regrets of the last weights as they enter a mean."""
    return [min(CAP, o.last_regret) for o in outcomes]


def best_fixed(records: Sequence[Record]) -> Candidate:
    """The fraction of the epochs at which stopping all records would have had the lowest mean regret, in hindsight."""
    regrets = {}
    for k in range(1, 101):
        candidate = Candidate("", "hindsight", k / 100)
        regrets[k / 100] = mean(capped([outcome(candidate, record) for record in records]))
    best = min(regrets, key=lambda fraction: regrets[fraction])
    return Candidate(f"best fixed epoch in hindsight ({best:.0%})", "hindsight", best)
