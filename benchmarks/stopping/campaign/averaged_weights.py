"""Compares the weights of the kept epoch with averages of the weights, as what is handed to the user at the stop.

    python -m benchmarks.stopping.campaign.averaged_weights --raw RAW [--weights WEIGHTS --data-dir DATA] [--part PART]

``swa`` is the mean of the weights at the ends of the later half of the epochs so far and ``ema`` an exponential average
over five epochs (`averages`), both recorded. ``polynomial`` is what ``LabelFreeStopping(restore_best="average")`` ends
with; it is computed from the saved weights of every epoch, where they were saved. A stop at a clean validation split
with the same averages is the control: an average needs no labels, whoever decides to stop.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.reporting import markdown_table, write_json
from benchmarks.stopping.campaign.polynomial_average import polynomial_scores
from benchmarks.stopping.campaign.predictions import Predictions
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.campaign.rules import scheduled
from benchmarks.stopping.campaign.signals import accuracy_signal, loss_signal
from benchmarks.stopping.campaign.weight_scores import Score, decide_on, score_of
from benchmarks.stopping.statistics import bootstrap_weights, mean_and_interval
from lightning_factorlens.callbacks._averaged_weights import EPOCHS_AFTER
from lightning_factorlens.stopping import Patience, Rule

Series = Callable[[RawRun], np.ndarray]
#: The name of a stop, its rule, and the series that it reads; the last two need the labels of a validation split.
STOPS: Mapping[str, tuple[Rule, Series]] = {
    "default": (scheduled(), lambda run: loss_signal(Predictions(run))),
    "default, target accuracy": (scheduled(), lambda run: accuracy_signal(Predictions(run))),
    "clean split, patience 5": (Patience(5), lambda run: run.val_clean_loss),
    "clean split, patience 10": (Patience(10), lambda run: run.val_clean_loss),
}
AROUND = f"swa {EPOCHS_AFTER} after the kept epoch"
POLYNOMIAL = f"polynomial {EPOCHS_AFTER} after the kept epoch"
HANDED_OVER = (
    "kept epoch",
    "last epoch",
    "ema at the kept epoch",
    "ema at the stop",
    "swa at the kept epoch",
    AROUND,
    "swa at the stop",
    POLYNOMIAL,
)
#: What the average around the default's kept epoch is compared with, run by run.
RIVALS = (
    ("default", "kept epoch"),
    ("clean split, patience 5", "kept epoch"),
    ("clean split, patience 10", "kept epoch"),
    ("clean split, patience 10", AROUND),
)


def scores_of(run: RawRun, stop: str, data: Path | None, weights: Path | None) -> dict[str, Score]:
    """The score of everything that could be handed over at a stop.

    Args:
        run: The run.
        stop: One of `STOPS`.
        data: Folder of the data sets; needed for averages that were not recorded.
        weights: Folder of the saved weights; None for the recorded averages alone.
    """
    rule, series = STOPS[stop]
    kept, last = decide_on(run, rule, series(run))
    around = min(last, kept + EPOCHS_AFTER)
    recorded = {
        "kept epoch": (run.hidden_test_loss[kept - 1], run.hidden_test_accuracy[kept - 1]),
        "last epoch": (run.hidden_test_loss[last - 1], run.hidden_test_accuracy[last - 1]),
        "ema at the kept epoch": (run.hidden_ema_test_loss[kept - 1], run.hidden_ema_test_accuracy[kept - 1]),
        "ema at the stop": (run.hidden_ema_test_loss[last - 1], run.hidden_ema_test_accuracy[last - 1]),
        "swa at the kept epoch": (run.hidden_swa_test_loss[kept - 1], run.hidden_swa_test_accuracy[kept - 1]),
        AROUND: (run.hidden_swa_test_loss[around - 1], run.hidden_swa_test_accuracy[around - 1]),
        "swa at the stop": (run.hidden_swa_test_loss[last - 1], run.hidden_swa_test_accuracy[last - 1]),
    }
    if data is not None and weights is not None:
        found = polynomial_scores(run, around, data, weights)
        if found is not None:
            recorded[POLYNOMIAL] = found
    return {name: score_of(run, float(loss), float(accuracy)) for name, (loss, accuracy) in recorded.items()}


def comparison_table(runs: Sequence[RawRun], scores: Sequence[Mapping[str, Mapping[str, Score]]]) -> str:
    """Mean regret and points lost of everything handed over at every stop, in Markdown.

    Args:
        runs: The runs.
        scores: For each run and each of `STOPS` the result of `scores_of`.
    """
    rows = []
    for stop in STOPS:
        for handed_over in HANDED_OVER:
            members = [i for i, found in enumerate(scores) if handed_over in found[stop]]
            if members:
                values = [scores[i][stop][handed_over] for i in members]
                draws = bootstrap_weights([runs[i].task.name for i in members])
                regrets = [value.regret for value in values]
                points = [value.points for value in values]
                rows.append(
                    (
                        stop,
                        handed_over,
                        str(len(members)),
                        mean_and_interval(regrets, draws, ".2f"),
                        f"{max(regrets):.1f}",
                        mean_and_interval(points, draws, ".1f"),
                    )
                )
    return markdown_table(("stop", "handed over", "runs", "regret (95 %)", "worst", "points lost (95 %)"), rows)


def run_table(runs: Sequence[RawRun], scores: Sequence[Mapping[str, Mapping[str, Score]]]) -> str:
    """Regret and points lost of the default's kept epoch and of the recorded average around it, run by run."""
    rows = []
    for run, found in zip(runs, scores):
        kept = found["default"]["kept epoch"]
        average = found["default"][AROUND]
        rows.append((run.name, f"{kept.regret:.2f}, {kept.points:.1f}", f"{average.regret:.2f}, {average.points:.1f}"))
    return markdown_table(("run", "kept epoch: regret, points", f"{AROUND}: regret, points"), rows)


def paired_lines(scores: Sequence[Mapping[str, Mapping[str, Score]]], runs: Sequence[RawRun]) -> str:
    """The average around the default's kept epoch less each of its rivals, paired by run, with intervals."""
    draws = bootstrap_weights([run.task.name for run in runs])
    lines = []
    for stop, handed_over in RIVALS:
        pairs = [(found["default"][AROUND], found[stop][handed_over]) for found in scores]
        regret = mean_and_interval([average.regret - rival.regret for average, rival in pairs], draws, "+.2f")
        points = mean_and_interval([average.points - rival.points for average, rival in pairs], draws, "+.1f")
        n_better = sum(average.regret < rival.regret - 0.01 for average, rival in pairs)
        n_worse = sum(average.regret > rival.regret + 0.01 for average, rival in pairs)
        lines.append(
            f"default, {AROUND} less {stop}, {handed_over}: regret {regret}, points lost {points}; better in "
            f"{n_better}, worse in {n_worse} of {len(pairs)} runs"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw files of one part")
    parser.add_argument("--part", choices=("development", "confirmation"), default="development")
    parser.add_argument("--weights", type=Path, help="folder of the saved weights")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets, for the saved weights")
    args = parser.parse_args()
    runs = []
    scores = []
    for path in sorted(args.raw.glob("*.npz")):
        run = load(path)
        if run.task.part != args.part:
            parser.error(f"--raw: {path} is a run of the {run.task.part} part, expected {args.part}")
        runs.append(run)
        scores.append({stop: scores_of(run, stop, args.data_dir, args.weights) for stop in STOPS})
    print(comparison_table(runs, scores))
    print("\n" + paired_lines(scores, runs))
    print("\n" + run_table(runs, scores))
    payload = {
        run.name: {
            stop: {name: (round(score.regret, 4), round(score.points, 2)) for name, score in by_name.items()}
            for stop, by_name in found.items()
        }
        for run, found in zip(runs, scores)
    }
    write_json("stopping", f"second_averages_{args.part}", {"regret and points lost": payload}, [])


if __name__ == "__main__":
    main()
