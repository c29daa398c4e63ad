"""The feature budget: results from a few neurons per layer, compared with results from all neurons.

    python -m benchmarks.solver.feature_budget [--data-dir DIR] [--net big] [--budgets 256 1024 4096 16384] [--draws 16]

One trained network is captured by the lens's own functions. Every draw has another seed of the budget and the same seed
of the solver. Bias is the mean over the draws relative to all neurons, spread their standard deviation. The same number
of fits of all neurons with other seeds of the solver shows which part of that is due to the solver.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the numerical libraries read the number of threads when they are imported
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.reporting import machine, print_figures, write_json, write_section
from benchmarks.solver.feature_budget_report import judge, report
from benchmarks.solver.networks import DATA, RECIPES, trained
from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.config import LensOptions
from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.measurements import RankAtError
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.metrics.required_rank import required_rank

#: The options of a lens, of which only the budget and its seed are varied here.
OPTIONS = LensOptions()
THRESHOLDS = RankAtError().thresholds

#: Numbers by part and name.
Numbers = dict[str, dict[str, Any]]


def main() -> None:
    """Measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="holds MNIST/raw; default: data in the repository")
    parser.add_argument("--net", default="big", choices=sorted(RECIPES))
    parser.add_argument("--budgets", type=int, nargs="+", default=[256, 1024, 4096, 16384])
    parser.add_argument("--draws", type=int, default=16, help="at least 2")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    source, model, probe = trained(args.net, args.data_dir)
    payload: dict[str, Any] = {"machine": machine(["lightning-factorlens"]), "source": source, "net": args.net}
    payload |= study(model, probe, args.budgets, args.draws)
    earlier_model = trained(args.net, args.data_dir, before=1)[1]
    payload["training"] = compared([measure(earlier_model, probe)], payload["all"])["bias"]
    payload["wall_seconds"] = time.perf_counter() - began
    figures = judge(payload)
    write_json("solver", "feature_budget", payload, figures)
    write_section("solver", "feature_budget", report(payload, figures))
    print_figures(figures)


def study(model: nn.Module, probe: Tensor, budgets: Sequence[int], draws: int) -> dict[str, Any]:
    """Measures all neurons once, then every budget with ``draws`` seeds.

    Args:
        model: A network with activations.
        probe: Images.
        budgets: Numbers of neurons per layer.
        draws: Number of seeds per budget.

    Returns:
        The numbers of ``all`` neurons; as `compared` gives them, bias and spread of the ``solver`` with other seeds and
        of each of the ``budgets``, these with the processor seconds of a measurement and the neurons kept.
    """
    everything = measure(model, probe)
    other_seeds = [measure(model, probe, solver_seed=1 + seed) for seed in range(draws)]
    by_budget = {}
    for budget in budgets:
        measured = [measure(model, probe, budget, seed) for seed in range(draws)]
        seconds = np.median([m["seconds"] for m in measured])
        by_budget[budget] = {**compared(measured, everything), "kept": measured[0]["neurons"], "seconds": seconds}
        print(f"{budget} neurons per layer: {seconds:.2f} s per measurement", file=sys.stderr)
    return {
        "all": everything,
        "ranks": OPTIONS.ranks,
        "error_thresholds": THRESHOLDS,
        "draws": draws,
        "images": len(probe),
        "budgets": by_budget,
        "solver": compared(other_seeds, everything),
    }


@torch.no_grad()
def measure(
    model: nn.Module, probe: Tensor, budget: int | None = None, seed: int = 0, solver_seed: int = OPTIONS.seed
) -> dict[str, Any]:
    """Curves, rank@τ, effective rank and root mean square by part (total, inputs, activations, every layer).

    A rank@τ that the largest rank does not reach is NaN, because its number would be the largest rank for every draw.
    """
    began = time.process_time()
    with isolate_model(model):
        choices = select_layers(trace_layers(model, model, probe[:4]))
        layers = capture_activations(model, model, probe, choices, budget, seed).layers
    problem = CoupledProblem([*input_blocks(probe, budget, seed), *layers], OPTIONS.weighting)
    groups = BlockGroups(problem)
    curves = groups.curves(fit(problem, OPTIONS.ranks, seed=solver_seed))
    effective = groups.effective_ranks()
    rms = groups.rms()
    numbers = {}
    for part, curve in curves.items():
        required = [required_rank(curve, tau) for tau in THRESHOLDS]
        numbers[part] = {
            "rmse": curve.rmse,
            "rel_error": curve.rel_error,
            "rank_at": [np.nan if r.is_lower_bound else r.rank for r in required],
            "effective_rank": [effective[part]],
            "rms": [rms[part]],
        }
    kept = {block.name: block.samples.shape[1] for block in problem.blocks}
    return {"numbers": numbers, "neurons": kept, "seconds": time.process_time() - began}


def compared(measured: Sequence[dict[str, Any]], everything: dict[str, Any]) -> dict[str, Numbers]:
    """Bias and spread of every number of every part over several measurements, relative to those of all neurons."""
    bias: Numbers = {}
    spread: Numbers = {}
    for part, numbers in everything["numbers"].items():
        bias[part] = {}
        spread[part] = {}
        for name, truth in numbers.items():
            relative = np.array([m["numbers"][part][name] for m in measured]) / np.array(truth) - 1
            bias[part][name] = relative.mean(0).tolist()
            spread[part][name] = relative.std(0, ddof=1).tolist() if len(measured) > 1 else []
    return {"bias": bias, "spread": spread}


if __name__ == "__main__":
    main()
