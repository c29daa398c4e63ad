"""Ideas before the third part that need only recorded outputs: a label-free choice, averaged labels, a temperature.

    python -m benchmarks.stopping.campaign.output_ideas --raw RAW [RAW …]

All read the stop of the loss's signal, and the recorded mean of the weights over the later half of the epochs up to
eight epochs after the kept one. The table goes into ``results/``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.reporting import markdown_table, write_json
from benchmarks.stopping.campaign.predictions import Predictions, decisions, log_softmax
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.campaign.rules import scheduled
from benchmarks.stopping.campaign.signals import (
    IMBALANCE_WEIGHT,
    MOMENTUM,
    PLAIN_SHARE,
    Array,
    after_distinction,
    imbalance,
    label_loss,
    loss_signal,
    memorization_gap,
)
from benchmarks.stopping.campaign.weight_scores import Score, decide_on, score_of

AFTER = 8
IMAGES = ("mnist", "cifar10")
TEMPERATURES = np.exp(np.linspace(-2.0, 4.0, 121))


def hidden(run: RawRun, epoch: int, is_average: bool) -> Score:
    """The score of an epoch's weights, or of the mean over the later half of the epochs up to it."""
    if is_average:
        return score_of(run, run.hidden_swa_test_loss[epoch - 1], run.hidden_swa_test_accuracy[epoch - 1])
    return score_of(run, run.hidden_test_loss[epoch - 1], run.hidden_test_accuracy[epoch - 1])


def criteria(kept: Array, average: Array, references: Mapping[str, Array]) -> dict[str, bool]:
    """For every label-free criterion whether it prefers the average to the kept epoch.

    Args:
        kept: Log probabilities of the kept epoch for the probe, shape (M, K).
        average: Those of the average.
        references: Probabilities, shape (M, K), that stand in for labels.
    """
    found = {}
    for name, reference in references.items():
        labels = reference.argmax(-1)[:, None]
        losses = [-np.take_along_axis(log_p, labels, -1).mean() for log_p in (kept, average)]
        soft = [-(reference * log_p).sum(-1).mean() for log_p in (kept, average)]
        found[f"lower loss against the classes of {name}"] = bool(losses[1] < losses[0])
        found[f"lower cross-entropy against {name}"] = bool(soft[1] < soft[0])
    entropies = [-(np.exp(log_p) * log_p).sum(-1).mean() for log_p in (kept, average)]
    found["higher entropy"] = bool(entropies[1] > entropies[0])
    differing = float((kept.argmax(-1) != average.argmax(-1)).mean())
    for limit in (0.3, 0.5):
        found[f"the average, unless more than {limit:g} of the classes differ"] = differing <= limit
    return found


def choices(run: RawRun, predictions: Predictions) -> dict[str, Score]:
    """The score of what every criterion chooses, and of an oracle."""
    kept, stop = decide_on(run, scheduled(), loss_signal(predictions))
    last = min(stop, kept + AFTER)
    averages = decisions(run.task.kind, run.swa_probe_logits)
    steady = predictions.average(MOMENTUM)
    references = {
        "the moving average at the stop": steady[stop - 1],
        "the moving average at the end of the average": steady[last - 1],
        "the moving average at the kept epoch": steady[kept - 1],
        "the average": np.exp(averages[last - 1]),
        "the mean prediction over its epochs": predictions.p[last // 2 : last].mean(0),
        "both": (np.exp(averages[last - 1]) + predictions.p[kept - 1]) / 2,
    }
    both = {True: hidden(run, last, True), False: hidden(run, kept, False)}
    found = {"always the average": both[True], "always the kept epoch": both[False]}
    found["oracle of the two"] = min(both.values(), key=lambda score: score.regret)
    chosen = criteria(predictions.log_p[kept - 1], averages[last - 1], references)
    return found | {name: both[is_average] for name, is_average in chosen.items()}


def averaged_labels(run: RawRun, predictions: Predictions) -> Score:
    """The score of a stop whose labels are the averaged network's, one more pass an epoch, with the average."""
    labels = decisions(run.task.kind, run.swa_probe_logits).argmax(-1)
    plain = label_loss(predictions.log_p, labels)
    agreement = PLAIN_SHARE * plain + (1 - PLAIN_SHARE) * label_loss(predictions.log_perturbed, labels)
    values = agreement + IMBALANCE_WEIGHT * imbalance(predictions) + memorization_gap(predictions)
    kept, stop = decide_on(run, scheduled(), after_distinction(predictions, values))
    return hidden(run, min(stop, kept + AFTER), True)


def temperatures(run: RawRun, predictions: Predictions) -> dict[str, Score]:
    """The score of the kept epoch with its logits divided by a temperature; the accuracy stays."""
    kept, _ = decide_on(run, scheduled(), loss_signal(predictions))
    logits = run.hidden_test_logits[kept - 1].astype(np.float64)
    labels = run.hidden_test_labels.astype(np.int64)[:, None]
    accuracy = float(run.hidden_test_accuracy[kept - 1])

    def loss(temperature: float) -> float:
        return float(-np.take_along_axis(log_softmax(logits / temperature), labels, -1).mean())

    probe = run.probe_logits[kept - 1].astype(np.float64)
    agreement = (predictions.log_p[kept - 1].argmax(-1) == predictions.log_perturbed[kept - 1].argmax(-1)).mean()
    confidences = [np.exp(log_softmax(probe / t).max(-1)).mean() for t in TEMPERATURES]
    calibrated = float(TEMPERATURES[int(np.argmin(np.abs(np.array(confidences) - agreement)))])
    found = {f"kept epoch, temperature {t:g}": loss(t) for t in (1.0, 1.25, 1.5)}
    found["kept epoch, oracle's temperature"] = min(loss(float(t)) for t in TEMPERATURES)
    found["kept epoch, confidence equal to the agreement under shifts"] = loss(calibrated)
    return {name: score_of(run, value, accuracy) for name, value in found.items()}


def scores(run: RawRun) -> dict[str, Score]:
    """The score of every idea; temperatures only for one class a sample."""
    predictions = Predictions(run)
    found = choices(run, predictions)
    found["labels of the averaged network"] = averaged_labels(run, predictions)
    if run.task.kind == "classes":
        found |= temperatures(run, predictions)
    return found


def row(found: Mapping[str, Mapping[str, Score]], name: str, belongs: Callable[[str], bool]) -> str:
    """Mean regret and points lost of an idea over the runs that have it, in words."""
    values = [ideas[name] for run, ideas in found.items() if name in ideas and belongs(run)]
    return f"{mean(value.regret for value in values):.3f} / {mean(value.points for value in values):.2f}"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="folders of the raw files")
    runs = [load(path) for folder in parser.parse_args().raw for path in sorted(folder.glob("*.npz"))]
    found = {run.name: scores(run) for run in runs}
    images = {run.name for run in runs if run.task.dataset in IMAGES}
    longest: dict[str, Score] = max(found.values(), key=len)  # runs of other kinds have no temperatures
    names = list(longest)
    rows = [(name, row(found, name, lambda run: True), row(found, name, images.__contains__)) for name in names]
    print(markdown_table(("idea", "all runs: regret / points", "image classifiers"), rows))
    payload = {
        run: {name: (round(score.regret, 4), round(score.points, 2)) for name, score in ideas.items()}
        for run, ideas in found.items()
    }
    write_json("stopping", "third_output_ideas", {"regret and points lost": payload})


if __name__ == "__main__":
    main()
