"""Scores as tables: every rule, paired comparisons with the default, and regret by kind of task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import mean
from typing import Any

from benchmarks.reporting import Figure, markdown_table
from benchmarks.stopping.replay import Candidate, Outcome, Record, capped, capped_last, outcome
from benchmarks.stopping.statistics import bootstrap_weights, interval, mean_and_interval

#: Groups of records: the name of a column and the condition on the task.
GROUPS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "clean": lambda t: t["noise"] == 0,
    "20 % wrong": lambda t: t["noise"] == 0.2,
    "40 % wrong": lambda t: t["noise"] == 0.4,
    "constant": lambda t: t["schedule"] == "constant",
    "step": lambda t: t["schedule"] == "step",
    "cosine": lambda t: t["schedule"] == "cosine",
    "MNIST": lambda t: t["dataset"] == "mnist",
    "CIFAR-10": lambda t: t["dataset"] == "cifar10",
    "plain CNN": lambda t: t["net"].startswith("cnn"),
    "ResNet": lambda t: t["net"].startswith("resnet"),
    "ViT": lambda t: t["net"] == "vit",
    "healthy": lambda t: t["healthy"],
    "other": lambda t: not t["healthy"],
}


@dataclass(frozen=True)
class Scored:
    """A candidate and its outcomes on every record of a part.

    Attributes:
        candidate: The candidate.
        outcomes: One outcome per record, in the order of the records.
    """

    candidate: Candidate
    outcomes: tuple[Outcome, ...]

    @property
    def regrets(self) -> list[float]:
        """The capped regrets of the kept weights."""
        return capped(self.outcomes)

    @property
    def last_regrets(self) -> list[float]:
        """The capped regrets of the weights with which training ended."""
        return capped_last(self.outcomes)


def ratio(ours: Scored, other: Scored, places: Sequence[int]) -> float:
    """Mean regret divided by that of another rule; NaN without records, infinite where only the other is perfect."""
    if not places:
        return math.nan
    regret = mean(ours.regrets[i] for i in places)
    other_regret = mean(other.regrets[i] for i in places)
    if other_regret:
        return regret / other_regret
    return math.inf if regret else 0.0


class Scores:
    """The outcomes of all candidates on all records of a part.

    Args:
        candidates: The candidates; the first is the default.
        records: The derived records.
        score: Scores a candidate on a record.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        records: Sequence[Record],
        score: Callable[[Candidate, Record], Outcome] = outcome,
    ) -> None:
        self.tasks = [r["task"] for r in records]
        self.records = [r["record"] for r in records]
        self.weights = bootstrap_weights([t["name"] for t in self.tasks])
        self.rows = [Scored(c, tuple(score(c, r) for r in records)) for c in candidates]

    def __getitem__(self, name: str) -> Scored:
        return next(row for row in self.rows if row.candidate.name == name)

    def subset(self, places: Sequence[int]) -> Scores:
        """The same rows on some of the records, without scoring them again.

        Args:
            places: Indices of the records.
        """
        found = Scores((), ())
        found.tasks = [self.tasks[i] for i in places]
        found.records = [self.records[i] for i in places]
        found.weights = bootstrap_weights([task["name"] for task in found.tasks])
        found.rows = [Scored(row.candidate, tuple(row.outcomes[i] for i in places)) for row in self.rows]
        return found

    def where(self, belongs: Callable[[Mapping[str, Any]], bool]) -> list[int]:
        """The indices of the records whose task belongs to a group."""
        return [i for i, t in enumerate(self.tasks) if belongs(t)]

    def main_table(self) -> str:
        """One row per rule: the default first, then the others by regret."""
        healthy = self.where(lambda t: t["healthy"])
        annealed = self.where(lambda t: t["schedule"] != "constant")
        cosine = self.where(lambda t: t["schedule"] == "cosine")
        header = ("rule", "sees", "mean regret (95 %)", "worst", "points lost", "last weights: regret (95 %)",
                  "last weights: points lost", "epochs saved",
                  "premature: healthy", "premature: annealed", "cosine: most points below the last epoch")  # fmt: skip
        rows = []
        for row in [self.rows[0], *sorted(self.rows[1:], key=lambda r: mean(r.regrets))]:
            o = row.outcomes
            rows.append(
                (
                    row.candidate.name,
                    row.candidate.needs,
                    mean_and_interval(row.regrets, self.weights, ".2f"),
                    f"{max(x.regret for x in o):.1f}",
                    mean_and_interval([x.points for x in o], self.weights, ".1f"),
                    mean_and_interval(row.last_regrets, self.weights, ".2f"),
                    mean_and_interval([x.last_points for x in o], self.weights, ".1f"),
                    f"{mean(x.saved for x in o):.0%}",
                    f"{sum(o[i].premature for i in healthy)} of {len(healthy)}",
                    f"{sum(o[i].premature for i in annealed)} of {len(annealed)}",
                    f"{max((o[i].below_last for i in cosine), default=float('nan')):.1f}",
                )
            )
        return markdown_table(header, rows)

    def paired_table(self) -> str:
        """The default's regret minus each other rule's, paired by record."""
        first = self.rows[0]
        rows = []
        for row in self.rows[1:]:
            difference = [a - b for a, b in zip(first.regrets, row.regrets)]
            points = [a.points - b.points for a, b in zip(first.outcomes, row.outcomes)]
            better, worse = sum(d < -0.01 for d in difference), sum(d > 0.01 for d in difference)
            rows.append(
                (
                    row.candidate.name,
                    mean_and_interval(difference, self.weights, "+.2f"),
                    f"{better} / {len(difference) - better - worse} / {worse}",
                    f"{mean(points):+.1f}",
                )
            )
        return markdown_table(
            ("the default against", "difference in regret (95 %)", "better / alike / worse", "in points"), rows
        )

    def breakdown_table(self) -> str:
        """Mean regret and mean accuracy lost by group of records."""
        groups = {name: self.where(belongs) for name, belongs in GROUPS.items()}
        groups = {name: members for name, members in groups.items() if members}
        rows = [
            (
                row.candidate.name,
                *(
                    f"{mean(row.regrets[i] for i in g):.2f} / {mean(row.outcomes[i].points for i in g):.1f}"
                    for g in groups.values()
                ),
            )
            for row in self.rows
        ]
        return markdown_table(("regret / points lost", *(f"{n} ({len(g)})" for n, g in groups.items())), rows)

    def record_table(self, names: Sequence[str], heading: str = "record") -> str:
        """The epochs kept and of the stop, the regret and the accuracy lost, record by record."""
        rows = []
        for i, record in enumerate(self.records):
            cells = []
            for name in names:
                o = self[name].outcomes[i]
                cells.append(f"{o.chosen:.0f} / {o.stop}: {o.regret:.2f}, {o.points:.1f}")
            rows.append((record, str(self.tasks[i]["epochs"]), *cells))
        return markdown_table((heading, "epochs", *(f"{n}: kept / stop: regret, points" for n in names)), rows)

    def figures(self, part: str) -> list[Figure]:
        """The figures of the default relative to validation splits and label-free baselines."""
        ours = self.rows[0]
        clean = self["clean validation split, patience 5"]
        noisy = self["noisy validation split, patience 5"]
        rivals = [r for r in self.rows[1:] if r.candidate.label_free]
        best = min(rivals, key=lambda r: mean(r.regrets))
        everywhere = range(len(self.records))
        wrong = self.where(lambda t: t["noise"] == 0.4)
        cosine = self.where(lambda t: t["schedule"] == "cosine")
        healthy = self.where(lambda t: t["healthy"])
        below = max((ours.outcomes[i].below_last for i in cosine), default=math.nan)
        spared = mean(not ours.outcomes[i].premature for i in healthy) if healthy else math.nan
        return [
            Figure(f"{part}_regret_over_clean_validation", ratio(ours, clean, everywhere), 1.0, True),
            Figure(f"{part}_regret_over_best_label_free_baseline", ratio(ours, best, everywhere), 0.5, True),
            Figure(f"{part}_noise40_regret_over_noisy_validation", ratio(ours, noisy, wrong), 0.5, True),
            Figure(f"{part}_cosine_points_below_last_epoch", below, 0.5, True),
            Figure(f"{part}_healthy_runs_not_stopped_early", spared, 0.95),
        ]

    def payload(self) -> dict[str, Any]:
        """All outcomes by rule and record, ready for JSON."""
        return {
            "records": self.records,
            "rules": {
                row.candidate.name: {
                    "needs": row.candidate.needs,
                    "rule": repr(row.candidate.rule),
                    "signal": None if row.candidate.signal is None else asdict(row.candidate.signal),
                    "mean_regret": mean(row.regrets),
                    "interval": interval(row.regrets, self.weights),
                    "outcomes": {f.name: [getattr(o, f.name) for o in row.outcomes] for f in fields(Outcome)},
                }
                for row in self.rows
            },
        }
