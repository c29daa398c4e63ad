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

from benchmarks.reporting import markdown_table, write_json
from benchmarks.stopping.campaign.averaged_weights import Score, decide_on, score_of
from benchmarks.stopping.campaign.predictions import Predictions
from benchmarks.stopping.campaign.raw import RawRun, load
from benchmarks.stopping.campaign.rules import scheduled
from benchmarks.stopping.campaign.saved_weights import hidden_scores, saved_weights
from benchmarks.stopping.campaign.signals import Array, loss_signal, smoothed

#: Epochs after the kept one, at most up to the stop.
AFTER = 8
WARMUP = 5


def polynomial(epochs: Array, power: float = 2.0) -> Array:
    """Weights that grow like epochᵖ (the package's average has them with p = 2, up to lower powers)."""
    weights: Array = epochs.astype(np.float64) ** power
    return weights


def capped(n_epochs: int, horizon: float) -> Array:
    """The polynomial average whose newest epoch never has a smaller share than 1 / horizon."""
    shares = np.maximum(3 / (np.arange(1, n_epochs + 1) + 2), 1 / horizon)
    kept = np.append(np.cumprod((1 - shares)[::-1])[::-1][1:], 1.0)
    result: Array = shares * kept
    return result


def soup(signal: Array, scale: float) -> Array:
    """Weights exp(−(s − lowest) / (scale × jitter)) of the smoothed signal s after the warm-up: a label-free soup."""
    values = smoothed(np.nan_to_num(signal, nan=np.inf))
    changes = np.abs(np.diff(signal))
    changes = changes[np.isfinite(changes)]
    jitter = max(float(np.median(changes)), 1e-4) if len(changes) else 1e-3
    values[: min(WARMUP, len(values) - 1)] = np.inf
    lowest = values[np.isfinite(values)].min()
    result: Array = np.exp(-(values - lowest) / (scale * jitter))
    return result


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
    found = {f"polynomial, power {p}": polynomial(epochs, p) for p in (1, 2, 3, 4)}
    found |= {f"polynomial, newest at least 1 / {h}": capped(last, h) for h in (5, 8, 12, 20)}
    found["polynomial / √rate"] = polynomial(epochs) / np.sqrt(rates)
    found["polynomial / rate"] = polynomial(epochs) / rates
    found["later half"] = (epochs > last // 2).astype(np.float64)
    for before, after in ((5, 5), (10, 10), (0, 8), (4, 8)):
        within = np.arange(1, min(stop, kept + after) + 1) >= kept - before
        found[f"{before} before to {after} after"] = within.astype(np.float64)
    found |= {f"soup, {scale} × jitter": soup(signal[:stop], scale) for scale in (1, 3, 10)}
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
    measured = hidden_scores(data, run.task, run.seed, vectors)
    return {name: score_of(run, *values) for name, values in zip(found, measured)}


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
