"""Averages of the weights that were tried around the kept epoch, from the saved weights of every epoch.

    python -m benchmarks.stopping.campaign.average_ideas --raw RAW [RAW …] --weights WEIGHTS [WEIGHTS …] --data-dir DATA

Each idea is a weight for every epoch up to the last one of the average. The table goes into ``results/``; what was
chosen is in `FINDINGS.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import nn

from benchmarks.reporting import markdown_table, write_json
from benchmarks.stopping.campaign.averages import load_flat
from benchmarks.stopping.campaign.data import load as load_parts
from benchmarks.stopping.campaign.losses import loss_and_accuracy
from benchmarks.stopping.campaign.networks import build
from benchmarks.stopping.campaign.predictions import Predictions
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.campaign.rules import scheduled
from benchmarks.stopping.campaign.run import outputs
from benchmarks.stopping.campaign.saved_weights import hidden_scores, saved_weights
from benchmarks.stopping.campaign.signals import Array, loss_signal, smoothed
from benchmarks.stopping.campaign.weight_scores import Score, decide_on, score_of

#: Epochs after the kept one, at most up to the stop.
AFTER = 8
WARMUP = 5
#: Averages whose batch-norm statistics are also measured anew.
REMEASURED = ("polynomial, power 2", "5 before to 5 after")


def polynomial(epochs: Array, power: float = 2.0) -> Array:
    """Weights that grow like epochᵖ (the package's average has them with p = 2, up to lower powers)."""
    weights: Array = epochs.astype(np.float64) ** power
    return weights


def smooth_signal(signal: Array) -> tuple[Array, float]:
    """The smoothed signal, infinite before the end of the warm-up and where it has no value, and its jitter.

    Args:
        signal: The signal of every epoch up to the stop.
    """
    values = np.full(len(signal), np.inf)
    begun = np.isfinite(signal)
    values[begun] = smoothed(signal[begun])
    values[: min(WARMUP, len(values) - 1)] = np.inf
    changes = np.abs(np.diff(signal))
    changes = changes[np.isfinite(changes)]
    jitter = max(float(np.median(changes)), 1e-4) if len(changes) else 1e-3
    return values, jitter


def ideas(run: RawRun, signal: Array, kept: int, stop: int) -> Mapping[str, Array]:
    """Every idea as weights of the epochs 1 … n, not normalised.

    Args:
        run: The run.
        signal: The signal by which it was stopped.
        kept: The kept epoch.
        stop: The epoch after which training ended.
    """
    last = min(stop, kept + AFTER)
    epochs = np.arange(1, last + 1)
    rates = np.maximum(run.learning_rate[:last], 1e-3 * run.learning_rate.max()).astype(np.float64)
    found = {f"polynomial, power {p}": polynomial(epochs, p) for p in (1, 2, 4)}
    found["polynomial / √rate"] = polynomial(epochs) / np.sqrt(rates)
    found["polynomial / rate"] = polynomial(epochs) / rates
    found["later half"] = (epochs > last // 2).astype(np.float64)
    for before, after in ((5, 5), (10, 10), (0, 8), (4, 8)):
        within = np.arange(1, min(stop, kept + after) + 1) >= kept - before
        found[f"{before} before to {after} after"] = within.astype(np.float64)
    values, jitter = smooth_signal(signal[:stop])
    if np.isfinite(values).any():
        for scale in (1, 3, 10):
            above = (values - values.min()) / (scale * jitter)
            found[f"soup, exp(−rise / ({scale} × jitter))"] = np.exp(-above)
            found[f"soup, rise at most {scale} × jitter"] = (above <= 1).astype(np.float64)
    return found


def scores(run: RawRun, data: Path, folder: Path) -> dict[str, Score] | None:
    """The score of every idea; None where no weights were saved.

    Args:
        run: The run.
        data: Folder of the data sets.
        folder: Folder of the saved weights.
    """
    weights = saved_weights(folder, run.task, run.seed)
    if weights is None:
        return None
    signal = loss_signal(Predictions(run))
    kept, stop = decide_on(run, scheduled(), signal)
    found = ideas(run, signal, kept, stop)
    vectors = []
    for shares in found.values():
        normed = torch.from_numpy(shares / shares.sum()).to(weights)
        vectors.append(torch.einsum("t,tn->n", normed, weights[: len(normed)]))
    measured = dict(zip(found, hidden_scores(data, run.task, run.seed, vectors)))
    names = list(found)
    for name in REMEASURED:
        vector = vectors[names.index(name)]
        measured[f"{name}, statistics measured anew"] = remeasured_scores(data, run, vector)
    return {name: score_of(run, *values) for name, values in measured.items()}


def remeasured_scores(data: Path, run: RawRun, vector: torch.Tensor) -> tuple[float, float]:
    """Hidden test loss and accuracy after the statistics of batch norms have been measured anew on the probe.

    Args:
        data: Folder of the data sets.
        run: The run.
        vector: Averaged weights and statistics.
    """
    parts = load_parts(data, run.task, run.seed)
    model = build(run.task.net, tuple(parts.train_x.shape[1:]), parts.classes, run.task.dropout, run.seed).eval()
    load_flat(model, vector)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the statistics become plain means
        norm.train()
    if norms:
        outputs(model, parts.probe_x)
    return loss_and_accuracy(outputs(model.eval(), parts.test_x)[0], parts.test_y)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="folders of the raw files")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="their folders of saved weights")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the data sets")
    args = parser.parse_args()
    found: dict[str, dict[str, Score]] = {}
    for raw, weights in zip(args.raw, args.weights):
        for path in sorted(raw.glob("*.npz")):
            run = load(path)
            of_run = scores(run, args.data_dir, weights)
            if of_run is not None:
                found[run.name] = of_run
    names = list(next(iter(found.values())))
    rows = []
    for name in names:
        values = [of_run[name] for of_run in found.values()]
        rows.append((name, f"{mean(v.regret for v in values):.3f}", f"{mean(v.points for v in values):.2f}"))
    print(markdown_table(("average", "regret", "points lost"), rows))
    payload = {
        name: {idea: (round(v.regret, 4), round(v.points, 2)) for idea, v in found[name].items()} for name in found
    }
    write_json("stopping", "third_average_ideas", {"regret and points lost": payload})


if __name__ == "__main__":
    main()
