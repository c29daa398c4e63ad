"""Fig. 4 of Praggastis et al. (2022) on small networks: does α̂ of the weights rank networks by quality without data?

    python -m benchmarks.spectra.quality --data-dir DIR [--widths 20,24,28,32,40] [--epochs 0.5,1,2,3,5]

The paper is "The SVD of convolutional weights". One family of small CIFAR-10 networks is trained, one network for each
width and number of epochs, each with its own seed. For every metric of the weights the table shows Spearman's rank
correlation with the test accuracy; its 95 % interval by resampling the networks; the same among networks of one width
and among networks of one number of epochs (means over the groups); and a control, the same metric of the same networks
*before* training, which can depend on the width only. One thread, about ten minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The numerical libraries read the number of threads when they are imported.
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

#: Side in pixels of the input of each convolution of ``small_net``.
SIZES = {"0": 32, "3": 16, "6": 8}
#: Number of bootstrap draws.
RESAMPLED = 4000

#: One trained network: width, epochs, accuracy and metrics by name.
Net = dict[str, float]


def main() -> None:
    """Trains the networks, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with cifar10.npz")
    parser.add_argument("--widths", default="20,24,28,32,40")
    parser.add_argument("--epochs", default="0.5,1,2,3,5")
    args = parser.parse_args()
    torch.set_num_threads(1)
    about = machine(["scipy"])
    start = time.perf_counter()
    data = cifar10(args.data_dir)
    nets: list[Net] = []
    for width in map(int, args.widths.split(",")):
        for epochs in map(float, args.epochs.split(",")):
            torch.manual_seed(len(nets))
            model = small_net(width)
            net: Net = {"width": width, "epochs": epochs}
            untrained = {f"untrained/{name}": value for name, value in weight_metrics(model).items()}
            train(model, data, epochs=epochs, seed=len(nets))
            net["accuracy"] = accuracy(model, data.test_x, data.test_y)
            metrics = weight_metrics(model)
            nets.append({**net, **metrics, **untrained})
            print(f"width {width} epochs {epochs:g} accuracy {net['accuracy']:.3f}", flush=True)
    rows = {name: row(nets, name) for name in (*metrics, "width", "epochs")}
    seconds = time.perf_counter() - start
    figures = [Figure("spectra_quality_nets", len(nets), 20), Figure("spectra_quality_minutes", seconds / 60, 12, True)]
    write_json("spectra", "quality", {"machine": about, "seconds": seconds, "nets": nets, "rows": rows}, figures)
    write_section("spectra", "quality", report(about, nets, rows))
    print_figures(figures)


def weight_metrics(model: nn.Module) -> dict[str, float]:
    """Every metric of the weights alone: sums and means over the layers with at least 20 eigenvalues."""
    metrics: dict[str, float] = {}
    spectra = {
        "W1": layer_spectra(model),
        "slices": layer_spectra(model, mode="slices", fit=fit_like_weightwatcher),
        "W2": layer_spectra(model, mode="w2", sizes=SIZES),
    }
    for mode, of_mode in spectra.items():
        summary = alpha_summary(of_mode)
        metrics[f"{mode} mean α"] = summary.mean_alpha if summary else math.nan
        metrics[f"{mode} α̂ (sum)"] = summary.alpha_hat if summary else math.nan
        metrics[f"{mode} mean log λ_max"] = summary.mean_log_lambda_max if summary else math.nan
    large_enough = [spectrum for spectrum in spectra["W1"] if spectrum.fit.n >= 20]
    ratios: dict[str, Callable[[LayerSpectrum], float]] = {
        "W1 stable rank / rank": lambda s: s.stable_rank / len(s.eigenvalues),
        "W1 entropy rank / rank": lambda s: s.entropy_rank / len(s.eigenvalues),
        "W1 spikes": lambda s: float(s.spikes or 0),
        "W1 log ‖W‖²": lambda s: math.log10(float(s.eigenvalues.sum())),
    }
    for name, ratio in ratios.items():
        metrics[name] = float(np.mean([ratio(spectrum) for spectrum in large_enough]))
    return metrics


def row(nets: Sequence[Net], name: str) -> dict[str, Any]:
    """Spearman's coefficients of one metric with the accuracy, one for each column of the table."""
    metric = column(nets, name)
    truth = column(nets, "accuracy")
    random = np.random.default_rng(0)
    draws = [random.integers(len(nets), size=len(nets)) for _ in range(RESAMPLED)]
    resampled = [spearman(metric[draw], truth[draw]) for draw in draws]
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
    """Mean of Spearman's coefficient over the groups of networks that share ``group``; NaN without variation."""
    coefficients = []
    for value in sorted({net[group] for net in nets}):
        members = [net for net in nets if net[group] == value]
        if len(members) > 2:
            coefficients.append(spearman(column(members, name), column(members, "accuracy")))
    return float(np.mean(coefficients)) if coefficients else math.nan


def column(nets: Sequence[Net], name: str) -> np.ndarray:
    """One number of every network."""
    return np.array([net[name] for net in nets])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where a value is not finite or one of the two does not vary."""
    if not np.isfinite(a).all() or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def report(about: dict[str, Any], nets: Sequence[Net], rows: dict[str, dict[str, Any]]) -> str:
    """The section of the README."""
    accuracies = [net["accuracy"] for net in nets]
    widths = ", ".join(str(width) for width in sorted({int(net["width"]) for net in nets}))
    epochs = ", ".join(f"{epochs:g}" for epochs in sorted({net["epochs"] for net in nets}))
    header = ["metric", "Spearman with test accuracy", "95 %", "nets of one width", "nets of one length",
              "before training"]  # fmt: skip
    table = []
    for name, r in rows.items():
        interval = f"{_cell(r['low'])} … {_cell(r['high'])}"
        others = [_cell(r[key]) for key in ("same_width", "same_length", "untrained")]
        table.append([name, _cell(r["spearman"]), interval, *others])
    return "\n\n".join(
        [
            "## Do the spectra rank networks by quality?",
            f"`python -m benchmarks.spectra.quality --data-dir DATA`: {len(nets)} networks of one family on CIFAR-10 "
            f"(20,000 images), widths {widths}, trained for {epochs} epochs; test accuracy {min(accuracies):.2f} to "
            f"{max(accuracies):.2f}. {about['date']}. In Praggastis et al. (2022) α̂ of W1 decreases with accuracy (a "
            "negative coefficient) and W2 does worse. The last column is the control: networks before training differ "
            "in width and seed only.",
            markdown_table(header, table),
            f"The number of epochs alone reaches {_cell(rows['epochs']['spearman'])}: any number that changes steadily "
            "during training ranks these networks. Among networks trained equally long, where the width alone reaches "
            f"{_cell(rows['width']['same_length'])}, α̂ of W1 reaches {_cell(rows['W1 α̂ (sum)']['same_length'])}.",
        ]
    )


def _cell(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else ""


if __name__ == "__main__":
    main()
