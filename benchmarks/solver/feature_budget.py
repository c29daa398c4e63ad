"""The feature budget: what a lens reports from a few neurons a layer, beside what it reports from all of them.

python -m benchmarks.solver.feature_budget [--data-dir DIR] [--net big] [--budgets 256 1024 4096 16384] [--draws 16]

One trained net, captured by the lens's own `ask`. Every draw is another seed of the budget and the same seed of the
solver; bias is the mean over the draws relative to all neurons, spread their standard deviation. All neurons under as
many other seeds of the solver show what of that is the solver's.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # one thread, said before the numerical libraries are loaded
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.reporting import machine, print_figures, write_json, write_section
from benchmarks.solver.feature_budget_report import judge, report
from benchmarks.solver.networks import DATA, RECIPES, trained
from lightning_factorlens.capture.activations import capture_activations, input_blocks
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.selection import select_layers, trace_layers
from lightning_factorlens.config import LensOptions
from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.measurements import RankAtError
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.metrics.required_rank import required_rank

#: Everything but the budget and its seed as a lens has it.
OPTIONS = LensOptions()
THRESHOLDS = RankAtError().thresholds


def main() -> None:
    """Measures, writes JSON and tables, and closes with the figures."""
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
    earlier = look(trained(args.net, args.data_dir, before=1)[1], probe)
    payload["training"] = compared([earlier], payload["all"])["bias"]
    payload["wall_seconds"] = time.perf_counter() - began
    figures = judge(payload)
    write_json("solver", "feature_budget", payload, figures)
    write_section("solver", "feature_budget", report(payload, figures))
    print_figures(figures)


def study(model: nn.Module, probe: Tensor, budgets: list[int], draws: int) -> dict[str, Any]:
    """All neurons once, then every budget over as many draws.

    Args:
        model: A net with activations.
        probe: Images.
        budgets: Neurons a layer.
        draws: Seeds of the budget.

    Returns:
        Numbers of ``all`` neurons; as `compared` gives them, bias and spread of the ``solver`` under other seeds and
        of each of the ``budgets``, these with the processor seconds of a look and the neurons kept.
    """
    everything = look(model, probe)
    found: dict[str, Any] = {
        "all": everything,
        "ranks": OPTIONS.ranks,
        "error_thresholds": THRESHOLDS,
        "draws": draws,
    }
    found["images"], found["budgets"] = len(probe), {}
    found["solver"] = compared([look(model, probe, solver_seed=1 + s) for s in range(draws)], everything)
    for budget in budgets:
        looks = [look(model, probe, budget, seed) for seed in range(draws)]
        found["budgets"][budget] = compared(looks, everything)
        found["budgets"][budget] |= {"kept": looks[0]["neurons"], "seconds": np.median([x["seconds"] for x in looks])}
        print(f"{budget} neurons a layer: {found['budgets'][budget]['seconds']:.2f} s a look", file=sys.stderr)
    return found


@torch.no_grad()
def look(
    model: nn.Module, probe: Tensor, budget: int | None = None, seed: int = 0, solver_seed: int = OPTIONS.seed
) -> dict[str, Any]:
    """One look's numbers by part (total, inputs, activations, every layer): curves, rank@τ, effective rank, rms.

    A rank@τ that the largest rank does not reach is NaN: its number would be that rank whatever was drawn.
    """
    began = time.process_time()
    with isolate_model(model):
        choices = select_layers(trace_layers(model, model, probe[:4]))
        layers = capture_activations(model, model, probe, choices, budget, seed).layers
    problem = CoupledProblem([*input_blocks(probe, budget, seed), *layers], OPTIONS.weighting)
    scopes = BlockGroups(problem)
    curves = scopes.curves(fit(problem, OPTIONS.ranks, seed=solver_seed))
    effective, rms = scopes.effective_ranks(), scopes.rms()
    numbers = {}
    for part, curve in curves.items():
        taus = [required_rank(curve, tau) for tau in THRESHOLDS]
        numbers[part] = {
            "rmse": curve.rmse,
            "rel_error": curve.rel_error,
            "rank_at": [np.nan if t.is_lower_bound else t.rank for t in taus],
            "effective_rank": [effective[part]],
            "rms": [rms[part]],
        }
    kept = {b.name: b.samples.shape[1] for b in problem.blocks}
    return {"numbers": numbers, "neurons": kept, "seconds": time.process_time() - began}


def compared(looks: list[dict[str, Any]], everything: dict[str, Any]) -> dict[str, Any]:
    """Bias and spread of every number of every part over some looks, relative to those of all neurons."""
    bias: dict[str, dict[str, list[float]]] = {}
    spread: dict[str, dict[str, list[float]]] = {}
    for part, numbers in everything["numbers"].items():
        bias[part], spread[part] = {}, {}
        for name, truth in numbers.items():
            relative = np.array([x["numbers"][part][name] for x in looks]) / np.array(truth) - 1
            bias[part][name] = relative.mean(0).tolist()
            spread[part][name] = relative.std(0, ddof=1).tolist() if len(looks) > 1 else []
    return {"bias": bias, "spread": spread}


if __name__ == "__main__":
    main()
