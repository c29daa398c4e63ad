"""Tables and figures of the second campaign, on the first campaign's scores (`..report.Scores`)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from benchmarks.reporting import Figure, markdown_table
from benchmarks.stopping.report import Scored, Scores, ratio
from benchmarks.stopping.statistics import interval, mean_and_interval

CELLS = ("clean constant", "clean annealed", "noisy constant", "noisy annealed")
#: Accuracy below the end, in points, from which a plateau run counts as stopped too early.
TOO_LOW = 1.0


def cell_places(found: Scores, cell: str) -> list[int]:
    """The runs of one of `CELLS`."""
    return found.where(lambda task: task["cell"] == cell)


def mean_regret(row: Scored, places: Sequence[int]) -> float:
    """The mean regret on some runs; NaN without any."""
    return mean(row.regrets[i] for i in places) if places else float("nan")


def mean_points(row: Scored, places: Sequence[int]) -> float:
    """The mean of the points lost on some runs; NaN without any."""
    return mean(row.outcomes[i].points for i in places) if places else float("nan")


def regimes(found: Scores) -> dict[str, list[int]]:
    """The runs of every regime of the split."""
    names = sorted({task["regime"] for task in found.tasks})
    return {name: [i for i, task in enumerate(found.tasks) if task["regime"] == name] for name in names}


def worst_regime(found: Scores, row: Scored) -> tuple[str, float]:
    """The regime with the highest mean regret, and that regret."""
    means = {name: mean_regret(row, places) for name, places in regimes(found).items()}
    name = max(means, key=lambda regime: means[regime])
    return name, means[name]


def plateaus_too_low(found: Scores, row: Scored) -> tuple[int, int]:
    """How many long plateaus are stopped over one point below their end, and how many there are."""
    places = found.where(lambda task: task["plateau"])
    low = [i for i in places if row.outcomes[i].premature]
    return len(low), len(places)


def healthy_stopped(found: Scores, row: Scored) -> tuple[int, int]:
    """How many healthy runs are stopped early, and how many there are."""
    places = found.where(lambda task: task["healthy"])
    return sum(row.outcomes[i].premature for i in places), len(places)


def better_split(found: Scores, kind: str, places: Sequence[int] | None = None) -> Scored:
    """The validation split with the lower mean regret of patience 5 and 10."""
    rows = [found[f"{kind} validation split, patience {patience}"] for patience in (5, 10)]
    used = range(len(found.records)) if places is None else places
    return min(rows, key=lambda row: mean_regret(row, list(used)))


def main_table(found: Scores) -> str:
    """One row per rule: regret, worst regime, cells, points, plateaus, healthy runs, epochs saved."""
    header = ("rule", "sees", "regret (95 %)", "worst regime", *CELLS, "points lost (95 %)",
              "last weights: regret / points", "plateaus stopped too low", "healthy stopped early",
              "epochs saved")  # fmt: skip
    rows = []
    for row in found.rows:
        regime, worst = worst_regime(found, row)
        low, plateaus = plateaus_too_low(found, row)
        stopped, healthy = healthy_stopped(found, row)
        points = [outcome.points for outcome in row.outcomes]
        last_points = mean(outcome.last_points for outcome in row.outcomes)
        rows.append(
            (
                row.candidate.name,
                row.candidate.needs,
                mean_and_interval(row.regrets, found.weights, ".3f"),
                f"{worst:.2f} ({regime})",
                *(f"{mean_regret(row, cell_places(found, cell)):.2f}" for cell in CELLS),
                mean_and_interval(points, found.weights, ".2f"),
                f"{mean(row.last_regrets):.2f} / {last_points:.1f}",
                f"{low} of {plateaus}",
                f"{stopped} of {healthy}",
                f"{mean(outcome.saved for outcome in row.outcomes):.0%}",
            )
        )
    return markdown_table(header, rows)


def paired_table(found: Scores, ours: Scored) -> str:
    """A rule's regret and points minus those of every other rule, paired by run."""
    rows = []
    for row in found.rows:
        if row is ours:
            continue
        regret = [a - b for a, b in zip(ours.regrets, row.regrets)]
        points = [a.points - b.points for a, b in zip(ours.outcomes, row.outcomes)]
        better = sum(difference < -0.01 for difference in regret)
        worse = sum(difference > 0.01 for difference in regret)
        rows.append(
            (
                row.candidate.name,
                mean_and_interval(regret, found.weights, "+.3f"),
                f"{better} / {len(regret) - better - worse} / {worse}",
                mean_and_interval(points, found.weights, "+.2f"),
            )
        )
    header = (f"{ours.candidate.name} less", "regret (95 %)", "better / alike / worse", "points lost (95 %)")
    return markdown_table(header, rows)


def regime_table(found: Scores, names: Sequence[str]) -> str:
    """Mean regret and points lost of some rules in every regime."""
    rows = []
    for regime, places in regimes(found).items():
        cells = [f"{mean_regret(found[name], places):.2f} / {mean_points(found[name], places):.1f}" for name in names]
        rows.append((regime, str(len(places)), *cells))
    return markdown_table(("regime", "runs", *names), rows)


def figures(found: Scores, ours: Scored, control: Scored, part: str) -> list[Figure]:
    """The figures of the campaign's goals 1 to 3."""
    everywhere = list(range(len(found.records)))
    noisy = found.where(lambda task: task["noise"] > 0)
    clean_split = better_split(found, "clean")
    noisy_split = better_split(found, "noisy", noisy)
    to_split = [a - b for a, b in zip(ours.regrets, clean_split.regrets)]
    to_clock = [a - b for a, b in zip(ours.regrets, control.regrets)]
    points_to_clock = [a.points - b.points for a, b in zip(ours.outcomes, control.outcomes)]
    points = mean_points(ours, everywhere) - mean_points(clean_split, everywhere)
    stopped, healthy = healthy_stopped(found, ours)
    low, plateaus = plateaus_too_low(found, ours)
    annealed = cell_places(found, "noisy annealed")
    return [
        Figure(f"{part}_regret_over_clean_split", ratio(ours, clean_split, everywhere), 0.8, True),
        Figure(f"{part}_noise_regret_over_noisy_split", ratio(ours, noisy_split, noisy), 0.5, True),
        Figure(f"{part}_upper_end_of_regret_less_clean_split", interval(to_split, found.weights)[1], 0.03, True),
        Figure(f"{part}_points_lost_less_clean_split", points, 0.0, True),
        Figure(f"{part}_healthy_stopped_early", stopped / healthy if healthy else float("nan"), 0.05, True),
        Figure(f"{part}_upper_end_of_regret_less_clock", interval(to_clock, found.weights)[1], 0.0, True),
        Figure(f"{part}_upper_end_of_points_less_clock", interval(points_to_clock, found.weights)[1], 0.0, True),
        Figure(f"{part}_worst_regime", worst_regime(found, ours)[1], 0.5, True),
        Figure(f"{part}_plateaus", plateaus, 12),
        Figure(f"{part}_plateaus_stopped_too_low", low, 1, True),
        Figure(f"{part}_noisy_annealed_regret", mean_regret(ours, annealed), 0.25, True),
    ]
