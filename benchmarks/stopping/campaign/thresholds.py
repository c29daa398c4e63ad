"""What a stop at a threshold of the stated probability costs and saves, beside the patience of the default rule."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from benchmarks.reporting import markdown_table
from benchmarks.stopping.campaign.observed_runs import ObservedRun
from benchmarks.stopping.campaign.rules import scheduled
from benchmarks.stopping.replay import CAP, LEAST, PREMATURE
from lightning_factorlens.stopping import BestEpochBehind, Rule, replay

THRESHOLDS = (0.7, 0.8, 0.9, 0.95)
HEADER = (
    "target",
    "stop",
    "regret, kept",
    "points lost, kept",
    "points lost, last",
    "epochs saved",
    "premature",
    "of healthy",
)


def threshold_table(runs: Sequence[ObservedRun]) -> str:
    """The default rule of each target, and stops at several thresholds, in Markdown.

    Args:
        runs: The runs.
    """
    rows = []
    for target in ("loss", "accuracy"):
        rules: dict[str, Rule] = {"patience of the default": scheduled()}
        for threshold in THRESHOLDS:
            rules[f"probability {threshold:.0%}"] = BestEpochBehind(scheduled(), threshold, target)
        for name, rule in rules.items():
            rows.append((target, name, *_row(rule, runs, target)))
    return markdown_table(HEADER, rows)


def _row(rule: Rule, runs: Sequence[ObservedRun], target: str) -> tuple[str, ...]:
    results = [_outcome(rule, run, target) for run in runs]
    healthy = [result for result, run in zip(results, runs) if run.healthy]
    columns = list(zip(*results))
    premature = [result[4] for result in results]
    return (
        f"{mean(columns[0]):.2f}",
        f"{mean(columns[1]):.1f}",
        f"{mean(columns[2]):.1f}",
        f"{mean(columns[3]):.0%}",
        f"{sum(premature):.0f} of {len(runs)}",
        f"{sum(result[4] for result in healthy):.0f} of {len(healthy)}",
    )


def _outcome(rule: Rule, run: ObservedRun, target: str) -> tuple[float, float, float, float, float]:
    """Regret and points lost of the kept epoch, points lost at the stop, share of epochs saved, whether premature.

    The definitions are those of the first study's `PROTOCOL.md`.
    """
    n_epochs = len(run.loss)
    decisions = replay(rule, run.signals[target], run.infos)
    stop = next((t for t, decision in enumerate(decisions, start=1) if decision.stop), n_epochs)
    kept = decisions[stop - 1].best_epoch or stop
    scale = max(mean(run.loss) - min(run.loss), LEAST)
    regret = min(CAP, (run.loss[kept - 1] - min(run.loss)) / scale)
    points = 100 * (max(run.accuracy) - run.accuracy[kept - 1])
    last_points = 100 * (max(run.accuracy) - run.accuracy[stop - 1])
    end = mean(run.accuracy[-3:])
    is_premature = stop < n_epochs and run.accuracy[kept - 1] < end - PREMATURE - 1e-9
    return regret, points, last_points, (n_epochs - stop) / n_epochs, float(is_premature)
