"""Fig. 4 of paper 002 in small: does α̂ of the weights tell which of many nets is good, without looking at data?

python -m benchmarks.spectra.quality --data-dir DIR [--widths 20,24,28,32,40] [--epochs 0.5,1,2,3,5]

One family of small CIFAR-10 nets, one for each width and length of training, each from its own seed. For every metric
of the weights: Spearman's rank correlation with the test accuracy, its 95 % interval by resampling the nets, the same
among nets of one width and among nets of one length (means over the groups), and the control: the same metric of the
same nets *before* training, which can only know the width. One thread, about ten minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from benchmarks.spectra.networks import accuracy, cifar10, small_net, train
from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.layer_spectra import alpha_summary, layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher

#: Pixels a side of what enters each convolution of ``small_net``.
SIZES = {"0": 32, "3": 16, "6": 8}
RESAMPLED = 4000

Net = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with cifar10.npz")
    parser.add_argument("--widths", default="20,24,28,32,40")
    parser.add_argument("--epochs", default="0.5,1,2,3,5")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began, start = machine(["scipy"]), time.perf_counter()
    data = cifar10(args.data_dir)
    nets: list[Net] = []
    for width in map(int, args.widths.split(",")):
        for epochs in map(float, args.epochs.split(",")):
            torch.manual_seed(len(nets))
            model = small_net(width)
            untrained = weight_metrics(model)
            train(model, data, epochs=epochs, seed=len(nets))
            net = {"width": width, "epochs": epochs, "accuracy": accuracy(model, data.test_x, data.test_y)}
            nets.append({**net, **weight_metrics(model), **{f"untrained/{k}": v for k, v in untrained.items()}})
            print(f"width {width} epochs {epochs:g} accuracy {net['accuracy']:.3f}", flush=True)
    rows = {name: row(nets, name) for name in (*untrained, "width", "epochs")}
    seconds = time.perf_counter() - start
    figures = [Figure("spectra_quality_nets", len(nets), 20), Figure("spectra_quality_minutes", seconds / 60, 12, True)]
    write_json("spectra", "quality", {"machine": began, "seconds": seconds, "nets": nets, "rows": rows}, figures)
    write_section("spectra", "quality", report(began, nets, rows))
    print_figures(figures)


def weight_metrics(model: nn.Module) -> dict[str, float]:
    """Every metric of the weights alone; sums and means over the layers with 20 eigenvalues or more."""
    found: dict[str, float] = {}
    spectra = {
        "W1": layer_spectra(model),
        "slices": layer_spectra(model, mode="slices", fit=fit_like_weightwatcher),
        "W2": layer_spectra(model, mode="w2", sizes=SIZES),
    }
    for mode, of_mode in spectra.items():
        summary = alpha_summary(of_mode)
        found[f"{mode} mean α"] = summary.mean_alpha if summary else math.nan
        found[f"{mode} α̂ (sum)"] = summary.alpha_hat if summary else math.nan
        found[f"{mode} mean log λ_max"] = summary.mean_log_lambda_max if summary else math.nan
    entering = [s for s in spectra["W1"] if s.fit.n >= 20]
    ratios: dict[str, Callable[[LayerSpectrum], float]] = {
        "W1 stable rank / rank": lambda s: s.stable_rank / len(s.eigenvalues),
        "W1 entropy rank / rank": lambda s: s.entropy_rank / len(s.eigenvalues),
        "W1 spikes": lambda s: float(s.spikes or 0),
        "W1 log ‖W‖²": lambda s: math.log10(float(s.eigenvalues.sum())),
    }
    return found | {name: float(np.mean([f(s) for s in entering])) for name, f in ratios.items()}


def row(nets: Sequence[Net], name: str) -> dict[str, Any]:
    """Spearman of one metric with accuracy, in all the ways the table shows."""
    metric, truth = column(nets, name), column(nets, "accuracy")
    random = np.random.default_rng(0)
    draws = [random.integers(len(nets), size=len(nets)) for _ in range(RESAMPLED)]
    resampled = [spearman(metric[d], truth[d]) for d in draws]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    untrained = f"untrained/{name}"
    return {
        "spearman": spearman(metric, truth),
        "low": float(low),
        "high": float(high),
        "same_width": within(nets, name, "width"),
        "same_length": within(nets, name, "epochs"),
        "untrained": spearman(column(nets, untrained), truth) if untrained in nets[0] else math.nan,
    }


def within(nets: Sequence[Net], name: str, group: str) -> float:
    """Mean of Spearman's coefficient over the groups of nets that share ``group``; NaN without variation."""
    groups = [[net for net in nets if net[group] == value] for value in sorted({net[group] for net in nets})]
    found = [spearman(column(g, name), column(g, "accuracy")) for g in groups if len(g) > 2]
    return float(np.mean(found)) if found else math.nan


def column(nets: Sequence[Net], name: str) -> np.ndarray:
    return np.array([net[name] for net in nets])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    if not np.isfinite(a).all() or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def report(began: dict[str, Any], nets: Sequence[Net], rows: dict[str, dict[str, Any]]) -> str:
    best, worst = (f(net["accuracy"] for net in nets) for f in (max, min))

    def cell(value: float) -> str:
        return f"{value:+.2f}" if math.isfinite(value) else ""

    lines = []
    for name, r in rows.items():
        cells = [cell(r["spearman"]), f"{cell(r['low'])} … {cell(r['high'])}"]
        lines.append([name, *cells, *(cell(r[key]) for key in ("same_width", "same_length", "untrained"))])
    header = [
        "metric",
        "Spearman with test accuracy",
        "95 %",
        "nets of one width",
        "nets of one length",
        "before training",
    ]
    return "\n\n".join(
        [
            "## Do the spectra tell a good net?",
            f"`python -m benchmarks.spectra.quality --data-dir DATA`: {len(nets)} nets of one family on CIFAR-10 "
            f"(20,000 images), widths "
            f"{', '.join(str(w) for w in sorted({int(n['width']) for n in nets}))}, trained for "
            f"{', '.join(f'{e:g}' for e in sorted({n['epochs'] for n in nets}))} epochs; test accuracy {worst:.2f} to "
            f"{best:.2f}. {began['date']}. Paper 002 has α̂ of W1 fall with accuracy (a negative coefficient) and W2 do "
            "worse. The last column is the control: nets before training differ in width and seed alone.",
            markdown_table(header, lines),
            f"The epochs alone reach {cell(rows['epochs']['spearman'])}: any number that drifts while a net trains "
            "ranks these nets. Among nets trained equally long, where the width alone reaches "
            f"{cell(rows['width']['same_length'])}, α̂ of W1 reaches {cell(rows['W1 α̂ (sum)']['same_length'])}.",
        ]
    )


if __name__ == "__main__":
    main()
