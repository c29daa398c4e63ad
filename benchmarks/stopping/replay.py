"""Rules replayed over derived records: what each would have kept, where it would have stopped, and what that cost."""

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
#: Regrets are capped for means; nats that take the place of a smaller denominator; a premature stop, in accuracy.
CAP, LEAST, PREMATURE = 10.0, 0.005, 0.01
#: The lens's shift in pixels for these images, one in sixteen: what ``{px}`` in a signal's name stands for.
PIXELS = {"mnist": 1, "cifar10": 2}
COMBINED: Mapping[str, Callable[[Sequence[float]], float]] = {"mean": mean, "sum": sum, "consensus": median}
FixedChoice = Literal["last", "random"]


def load(folder: Path, part: str) -> list[dict[str, Any]]:
    """The records of a part that are there, in the order of the tasks; others are not even opened."""
    tasks = {"dev": DEVELOPMENT, "confirm": CONFIRMATION}[part]
    paths = [folder / f"{record_name(task, seed)}.json.gz" for task in tasks for seed in task.seeds]
    return [read(path) for path in paths if path.exists()]


@dataclass(frozen=True)
class Signal:
    """A series, or several made one.

    Attributes:
        names: Of `derive`'s signals, or ``validation/…`` and ``training/…``; ``{px}`` is the lens's shift.
        combine: ``"mean"`` of the values; their ``"sum"``; ``"consensus"``, their median after each has been
            standardised by its own past (online: the mean and spread up to then).
        over: Looks of a moving average, causal; 1 for none.
    """

    names: tuple[str, ...]
    combine: Literal["mean", "sum", "consensus"] = "mean"
    over: int = 1

    def of(self, record: Record) -> list[float]:
        """One value an epoch, NaN where there is none."""
        columns = [named(record, name) for name in self.names]
        if self.combine == "consensus":
            columns = [standardised(c) for c in columns]
        combined = [COMBINED[self.combine](values) for values in zip(*columns)]
        if self.over == 1:
            return combined
        windows = [combined[max(0, t + 1 - self.over) : t + 1] for t in range(len(combined))]
        return [mean(w) if len(w) == self.over else math.nan for w in windows]


def named(record: Record, name: str) -> list[float]:
    """A series of a record by name, NaN for None."""
    name = name.format(px=PIXELS[record["task"]["dataset"]])
    kind, _, rest = name.partition("/")
    values = record[kind][rest] if kind in ("validation", "training") else record["signals"][name]
    return [math.nan if v is None else float(v) for v in values]


def standardised(values: Series) -> list[float]:
    """Each value less the mean of all up to it, over their spread; 0 while there is no spread."""
    result = []
    for t, value in enumerate(values):
        past = [v for v in values[: t + 1] if math.isfinite(v)]
        spread = pstdev(past) if len(past) > 1 else 0.0
        result.append((value - mean(past)) / spread if spread else value * 0)
    return result


@dataclass(frozen=True)
class Candidate:
    """What is to be scored: a rule on a signal, or a choice that needs none.

    Attributes:
        name: In words.
        needs: ``"probe"``, ``"weights"``, ``"training images"``, ``"training labels"``, ``"validation labels"``,
            ``"hindsight"`` or ``"nothing"``.
        rule: An object of the package's stopping room, or ``"last"``, ``"random"``, or a share of the epochs.
        signal: What it judges; None for a choice that needs none.
        planned: Whether the schedule is known beforehand.
        ours: Whether it is a relative of the default, and no baseline that the default is measured against.
    """

    name: str
    needs: str
    rule: Rule | FixedChoice | float
    signal: Signal | None = None
    planned: bool = True
    ours: bool = False

    @property
    def label_free(self) -> bool:
        """Whether it belongs to the rules that the default is to be measured against."""
        return not self.ours and self.needs in ("probe", "weights", "training images", "nothing")


@dataclass(frozen=True)
class Outcome:
    """What a candidate came to on a record; means over the epochs for a random one.

    Attributes:
        chosen: Epoch kept, from 1; NaN where it is random.
        stop: Epoch after which training ended.
        regret: Uncapped.
        points: Accuracy lost against the run's best, in points.
        below_last: Accuracy below that of the last epoch, in points.
        saved: Share of the epochs.
        premature: Whether it stopped before the end and lost more than a point against the mean of the last three.
    """

    chosen: float
    stop: int
    regret: float
    points: float
    below_last: float
    saved: float
    premature: bool


def decide(candidate: Candidate, record: Record) -> tuple[list[int], int]:
    """The epochs it may have kept, all alike likely, and the one after which it stops."""
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
    looks = epoch_infos(T, record["training"]["learning_rate"], candidate.planned, others)
    verdicts = replay(candidate.rule, candidate.signal.of(record), looks)
    stop = next((t for t, v in enumerate(verdicts, 1) if v.stop), T)
    best = verdicts[stop - 1].best_epoch
    return [stop if best is None else best], stop


def outcome(candidate: Candidate, record: Record) -> Outcome:
    """By the protocol's measures."""
    loss, accuracy = record["hidden"]["test_loss"], record["hidden"]["test_accuracy"]
    T = len(loss)
    chosen, stop = decide(candidate, record)
    scale = max(mean(loss) - min(loss), LEAST)
    kept = mean(accuracy[t - 1] for t in chosen)
    early = stop < T and kept < mean(accuracy[-3:]) - PREMATURE - 1e-9
    return Outcome(
        chosen=float(chosen[0]) if len(chosen) == 1 else math.nan,
        stop=stop,
        regret=mean((loss[t - 1] - min(loss)) / scale for t in chosen),
        points=100 * (max(accuracy) - kept),
        below_last=100 * (accuracy[-1] - kept),
        saved=(T - stop) / T,
        premature=early,
    )


def capped(outcomes: Sequence[Outcome]) -> list[float]:
    """Regrets as they enter a mean."""
    return [min(CAP, o.regret) for o in outcomes]


def best_fixed(records: Sequence[Record]) -> Candidate:
    """The share of the epochs at which a stop of all records would have cost least: hindsight."""
    shares = [k / 100 for k in range(1, 101)]
    cost = {s: mean(capped([outcome(Candidate("", "hindsight", s), r) for r in records])) for s in shares}
    best = min(shares, key=lambda s: cost[s])
    return Candidate(f"best fixed epoch in hindsight ({best:.0%})", "hindsight", best)
