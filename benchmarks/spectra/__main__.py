"""α of whole models, compared with weightwatcher's `analyze()` and powerlaw 1.5: agreement and cost.

    python -m benchmarks.spectra [--data-dir DIR] [--published DIR] [--models resnet18,resnet50,vgg16] [--quick]

One thread, one process, wall seconds. Our time is the shortest of three calls, two before and one after the peer, which
is timed once (seconds to minutes). `--data-dir` holds `cifar10.npz`, on which a ResNet-18 is trained for a minute;
`--published` holds the data sets of Clauset, Shalizi and Newman (2009) as text, as in powerlaw's repository.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
import torchvision
from torch import nn

from benchmarks.reporting import Figure, machine, print_figures, results_path, write_json, write_section
from benchmarks.spectra.comparison import compare_all_extras, compare_model
from benchmarks.spectra.known_answers import PARETO, coverage, reproduce
from benchmarks.spectra.networks import cifar10, train
from benchmarks.spectra.report import section


def main() -> None:
    """Measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with cifar10.npz")
    parser.add_argument("--published", type=Path, help="folder with blackouts.txt, cities.txt, …")
    parser.add_argument("--models", default="resnet18,resnet50,vgg16")
    parser.add_argument("--train-seconds", type=float, default=60)
    parser.add_argument("--keep", action="store_true", help="models not run now keep their row of the last run")
    parser.add_argument("--quick", action="store_true", help="ResNet-18 alone, a tenth of the Pareto draws")
    args = parser.parse_args()
    torch.set_num_threads(1)
    about = machine(["torchvision", "weightwatcher", "powerlaw", "scipy"])
    names = ["resnet18"] if args.quick else args.models.split(",")
    rows = {name: compare_model(build(name)) for name in names}
    rows[f"{names[0]}, all extras"] = compare_all_extras(build(names[0]))
    if args.data_dir and (args.data_dir / "cifar10.npz").exists():
        data = cifar10(args.data_dir)
        trained = train(build("resnet18", 10), data, seconds=args.train_seconds)
        rows["resnet18, trained"] = compare_model(trained)
    pareto = {alpha: coverage(alpha, 100 if args.quick else 1000) for alpha in PARETO}
    published = reproduce(args.published) if args.published else {}
    if args.keep:
        earlier = json.loads(results_path("spectra", "spectra.json").read_text())["models"]
        rows = {**earlier, **rows}
    figures = judge(rows, pareto, published)
    payload = {"machine": about, "models": rows, "pareto": pareto, "published": published}
    write_json("spectra", "spectra", payload, figures)
    write_section("spectra", "spectra", section(about, rows, pareto, published))
    print_figures(figures)


def build(name: str, classes: int = 1000) -> nn.Module:
    """A model of torchvision with random weights."""
    torch.manual_seed(0)
    model: nn.Module = getattr(torchvision.models, name)(weights=None, num_classes=classes)
    return model.eval()


def judge(rows: dict[str, Any], pareto: dict[float, Any], published: dict[str, Any]) -> list[Figure]:
    """The figures: differences of α, coverage, speed-ups, and published exponents."""
    compared = [row for row in rows.values() if "fit" in row]
    figures = []
    for name, key in (
        ("spectra_alpha_against_analyze", "alpha_analyze"),
        ("spectra_alpha_against_weightwatcher_fitter", "alpha_fitter"),
        ("spectra_alpha_against_powerlaw_same_xmin", "alpha_powerlaw"),
    ):
        figures.append(Figure(name, max(row[key] for row in compared), 1e-4, at_most=True))
    for key, name in (
        ("given", "xmin_given"),
        ("formula", "xmin_fitted_sigma_formula"),
        ("bootstrap", "xmin_fitted_sigma_bootstrap"),
    ):
        mean = float(np.mean([row[key] for row in pareto.values()]))
        figures.append(Figure(f"spectra_pareto_2sigma_{name}", mean, 0.95))
    for name in ("resnet18", "resnet50"):
        if name in rows:
            row = rows[name]
            figures.append(Figure(f"spectra_speed_w1_{name}", row["weightwatcher"] / row["w1"], 50))
            figures.append(Figure(f"spectra_speed_slices_{name}", row["weightwatcher"] / row["slices"], 10))
            figures.append(Figure(f"spectra_speed_fit_{name}", row["weightwatcher_fit"] / row["fit"], 3))
    extras = rows.get("resnet18, all extras")
    if extras:
        for mode, goal in (("w1", 50), ("slices", 10)):
            speedup = extras["weightwatcher"] / extras[mode]
            figures.append(Figure(f"spectra_speed_{mode}_all_extras_resnet18", speedup, goal))
    if published:
        reached = sum(abs(row["alpha"] - row["published"]) <= 0.05 for row in published.values())
        figures.append(Figure("spectra_published_alpha_share", reached / len(published), 1))
    return figures


if __name__ == "__main__":
    main()
