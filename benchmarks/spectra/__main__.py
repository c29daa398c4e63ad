"""α of whole models beside weightwatcher's `analyze()` and powerlaw 1.5: is it the same, and what does it cost?

python -m benchmarks.spectra [--data-dir DIR] [--published DIR] [--models resnet18,resnet50,vgg16] [--quick]

One thread, one process, wall seconds. Ours is the best of three calls, half of them before and half after the peer,
which is timed once (seconds to minutes). `--data-dir` holds `cifar10.npz`, on which a ResNet-18 is trained for a
minute; `--published` holds the data sets of Clauset, Shalizi and Newman (2009) as text, as powerlaw's repository does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# One thread, said before the numerical libraries are loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
import torchvision
from torch import nn

from benchmarks.reporting import Figure, machine, print_figures, results_path, write_json, write_section
from benchmarks.spectra.networks import cifar10, train
from benchmarks.spectra.report import section
from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.diagnostics import add_correlation_traps
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher, fit_power_law

PARETO = (2.0, 3.0, 5.0, 8.0)
#: x_min, α and tail as printed in Table 6.1 of Clauset et al.; the two that are rounded to few values stand apart.
PUBLISHED = {
    "blackouts": (230e3, 2.3, 59),
    "cities": (52.46e3, 2.37, 580),
    "fires": (6324, 2.2, 521),
    "flares": (323, 1.79, 1711),
}
ROUNDED = {"quakes": (794, 1.64, 11697), "surnames": (111.92e3, 2.5, 239)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with cifar10.npz")
    parser.add_argument("--published", type=Path, help="folder with blackouts.txt, cities.txt, …")
    parser.add_argument("--models", default="resnet18,resnet50,vgg16")
    parser.add_argument("--train-seconds", type=float, default=60)
    parser.add_argument("--keep", action="store_true", help="models not run now keep their row of the last run")
    parser.add_argument("--quick", action="store_true", help="ResNet-18 alone, a tenth of the Pareto draws")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = machine(["torchvision", "weightwatcher", "powerlaw", "scipy"])
    names = ["resnet18"] if args.quick else args.models.split(",")
    rows = {name: whole_model(build(name)) for name in names}
    rows |= {f"{name}, all extras": everything(build(name)) for name in names[:1]}
    if args.data_dir and (args.data_dir / "cifar10.npz").exists():
        data = cifar10(args.data_dir)
        rows["resnet18, trained"] = whole_model(train(build("resnet18", 10), data, seconds=args.train_seconds))
    pareto = {alpha: coverage(alpha, 100 if args.quick else 1000) for alpha in PARETO}
    published = reproduce(args.published) if args.published else {}
    if args.keep:
        rows = {**json.loads(results_path("spectra", "spectra.json").read_text())["models"], **rows}
    figures = summary(rows, pareto, published)
    write_json(
        "spectra", "spectra", {"machine": began, "models": rows, "pareto": pareto, "published": published}, figures
    )
    write_section("spectra", "spectra", section(began, rows, pareto, published))
    print_figures(figures)


def build(name: str, classes: int = 1000) -> nn.Module:
    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None, num_classes=classes).eval()


def whole_model(model: nn.Module) -> dict[str, float]:
    """Seconds and agreement; ``inf`` as a difference stands for a layer that only one of the two could fit."""
    w1, w1_seconds = timed(lambda: layer_spectra(model), 2)
    slices, slice_seconds = timed(lambda: layer_spectra(model, mode="slices", fit=fit_like_weightwatcher), 2)
    with silence():
        import weightwatcher
        from weightwatcher.WW_powerlaw import WWFit

        watcher = weightwatcher.WeightWatcher(model=model)
        table, peer_seconds = timed(watcher.analyze)
        kept = [x[x > 1e-5] for x in (s.eigenvalues.numpy() for s in slices)]
        theirs, their_fit = timed(lambda: [WWFit(x) for x in kept])
        same_w1 = [WWFit(s.eigenvalues.numpy()[s.eigenvalues.numpy() > 1e-5]) for s in w1]
    ours, our_fit = timed(lambda: [fit_like_weightwatcher(s.eigenvalues) for s in slices], 3)
    alphas = dict(zip(table.longname, table.alpha))
    return {
        "layers": len(slices),
        "w1": min(w1_seconds, timed(lambda: layer_spectra(model))[1]),
        "slices": min(slice_seconds, timed(lambda: layer_spectra(model, mode="slices", fit=fit_like_weightwatcher))[1]),
        "weightwatcher": peer_seconds,
        "fit": our_fit,
        "weightwatcher_fit": their_fit,
        "alpha_analyze": max(difference(s.fit.alpha, alphas.get(s.layer, math.nan)) for s in slices),
        "alpha_fitter": max(
            *(difference(a.alpha, b.alpha) for a, b in zip(ours, theirs)),
            *(difference(fit_like_weightwatcher(s.eigenvalues).alpha, b.alpha) for s, b in zip(w1, same_w1)),
        ),
        "alpha_powerlaw": max(against_powerlaw(s) for s in (*w1, *slices)),
    }


def everything(model: nn.Module) -> dict[str, float]:
    """The same with Marchenko–Pastur edges, spikes and traps, which weightwatcher computes when asked."""
    with silence():
        import weightwatcher

        _, peer = timed(lambda: weightwatcher.WeightWatcher(model=model).analyze(randomize=True, mp_fit=True))
    w1, w1_seconds = timed(lambda: add_correlation_traps(layer_spectra(model), model), 2)
    _, seconds = timed(lambda: add_correlation_traps(layer_spectra(model, mode="slices"), model), 2)
    return {"layers": len(w1), "w1": w1_seconds, "slices": seconds, "weightwatcher": peer}


def against_powerlaw(spectrum: LayerSpectrum) -> float:
    """Difference of α with the same x_min, on the same eigenvalues."""
    fit, x = spectrum.fit, spectrum.eigenvalues.numpy()
    if not math.isfinite(fit.alpha) or fit.n < 20:  # below 20 weightwatcher's rule divides by n − 1
        return 0.0
    with silence():
        import powerlaw

        return float(abs(powerlaw.Fit(x[x > 0], xmin=fit.x_min, verbose=False).alpha - fit.alpha))


def coverage(alpha: float, draws: int) -> dict[str, float]:
    """Share of Pareto samples of 500 whose α lies within 2σ of the truth, by three σ."""
    # Other draws for every α: the same ones would give the same answer, the fit being equivariant.
    random = np.random.default_rng(int(1000 * alpha))
    hits = np.zeros(3)
    for draw in range(draws):
        x = torch.from_numpy((1 - random.random(500)) ** (-1 / (alpha - 1)))
        fit, given = fit_power_law(x), fit_power_law(x, min_tail=500)
        wide = goodness_of_fit(x, fit, draws=50, seed=draw).sigma
        hits += [
            abs(given.alpha - alpha) <= 2 * given.sigma,
            abs(fit.alpha - alpha) <= 2 * fit.sigma,
            abs(fit.alpha - alpha) <= 2 * wide,
        ]
    return dict(zip(("given", "formula", "bootstrap"), (hits / draws).tolist()))


def reproduce(folder: Path) -> dict[str, dict[str, float]]:
    """α of the published data sets: with x_min fitted, and for the rounded ones with x_min as published."""
    found: dict[str, dict[str, float]] = {}
    for name, (x_min, alpha, n_tail) in {**PUBLISHED, **ROUNDED}.items():
        path = folder / f"{name}.txt"
        if not path.exists():
            continue
        x = np.sort(np.loadtxt(path).ravel())
        if name in ROUNDED:  # many equal values: another convention for ties chooses another x_min
            x = x[x >= x_min * 0.999]
        fit = fit_power_law(torch.from_numpy(x), threshold=0.0, min_tail=len(x) if name in ROUNDED else 2)
        found[name] = {
            "published": alpha, "published_x_min": x_min, "published_tail": n_tail,
            "alpha": fit.alpha, "sigma": fit.sigma, "x_min": fit.x_min, "n_tail": fit.n_tail,
        }  # fmt: skip
    return found


def summary(rows: dict[str, Any], pareto: dict[float, Any], published: dict[str, Any]) -> list[Figure]:
    whole = [row for row in rows.values() if "fit" in row]
    figures = [
        Figure("spectra_alpha_against_analyze", max(r["alpha_analyze"] for r in whole), 1e-4, at_most=True),
        Figure("spectra_alpha_against_weightwatcher_fitter", max(r["alpha_fitter"] for r in whole), 1e-4, at_most=True),
        Figure("spectra_alpha_against_powerlaw_same_xmin", max(r["alpha_powerlaw"] for r in whole), 1e-4, at_most=True),
    ]
    words = {"given": "xmin_given", "formula": "xmin_fitted_sigma_formula", "bootstrap": "xmin_fitted_sigma_bootstrap"}
    for key, name in words.items():
        figures.append(Figure(f"spectra_pareto_2sigma_{name}", float(np.mean([p[key] for p in pareto.values()])), 0.95))
    for name in ("resnet18", "resnet50"):
        if name in rows:
            row = rows[name]
            figures.append(Figure(f"spectra_speed_w1_{name}", row["weightwatcher"] / row["w1"], 50))
            figures.append(Figure(f"spectra_speed_slices_{name}", row["weightwatcher"] / row["slices"], 10))
            figures.append(Figure(f"spectra_speed_fit_{name}", row["weightwatcher_fit"] / row["fit"], 3))
    if extras := rows.get("resnet18, all extras"):
        figures.append(Figure("spectra_speed_w1_all_extras_resnet18", extras["weightwatcher"] / extras["w1"], 50))
        figures.append(
            Figure("spectra_speed_slices_all_extras_resnet18", extras["weightwatcher"] / extras["slices"], 10)
        )
    if published:
        reached = sum(abs(p["alpha"] - p["published"]) <= 0.05 for p in published.values())
        figures.append(Figure("spectra_published_alpha_share", reached / len(published), 1))
    return figures


def difference(a: float, b: float) -> float:
    if math.isnan(a) and math.isnan(b):
        return 0.0
    return float(abs(a - b)) if math.isfinite(a - b) else math.inf


def timed(function: Callable[[], Any], times: int = 1) -> tuple[Any, float]:
    """The answer and the shortest wall time."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        answer = function()
        best = min(best, time.perf_counter() - start)
    return answer, best


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The peers print, warn and log; none of it is timed away, all of it is dropped."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


if __name__ == "__main__":
    main()
