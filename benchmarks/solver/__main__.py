"""The solver compared with its peers: seconds to a good fit, cost of an iteration, jitter over training, growth.

    python -m benchmarks.solver [--quick] [--data-dir DIR] [--prototype DIR] [--seeds 8]

One thread, one process. Processor seconds are compared; wall seconds are in the JSON as well. The module `measure`
explains how a peer is timed; our solver is timed over its whole call at its default settings, final evaluation
included.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch

from benchmarks.reporting import machine, print_figures, results_path, write_json, write_section
from benchmarks.solver.best_errors import best_known, reference
from benchmarks.solver.cost import iteration_cost, sweep
from benchmarks.solver.factorlens_runner import BEGAN, log_progress
from benchmarks.solver.goals import judge
from benchmarks.solver.jitter import jitter
from benchmarks.solver.networks import DATA
from benchmarks.solver.plot import draw
from benchmarks.solver.problems import RANKS, load_problem, load_snapshots
from benchmarks.solver.report import report
from benchmarks.solver.runs import WITHIN, cold, warm

_PACKAGES = ("scikit-learn", "nmf-torch", "torchnmf", "tensorly", "lightning-factorlens")


def main() -> None:
    """Measures, writes the results, the plot and the section, and prints the figures."""
    args = _arguments()
    torch.set_num_threads(1)
    payload: dict[str, Any] = {"machine": machine(_PACKAGES), "quick": args.quick, "within": WITHIN, "ranks": RANKS}
    for key in ("problems", "cold", "warm", "passes"):
        payload[key] = {}
    for name in args.problems:
        _measure_problem(payload, name, args)
    if "mnist" in args.problems:
        payload["jitter"] = jitter(load_snapshots("mnist", args.data_dir))
    log_progress("sweep")
    payload["sweep"] = sweep(args.quick)
    # The load average before and after shows whether other work disturbed the measurement.
    payload["load_average_after"] = machine()["load_average"]
    payload["wall_seconds"] = time.perf_counter() - BEGAN
    figures = judge(payload)
    write_json("solver", "solver", payload, figures)
    draw(payload, results_path("solver", "solver.png"))
    write_section("solver", "solver", report(payload, figures))
    print_figures(figures)


def _measure_problem(payload: dict[str, Any], name: str, args: argparse.Namespace) -> None:
    """Measures everything on one problem and writes it into the payload."""
    problem = load_problem(name, args.data_dir)
    payload["problems"][name] = {"m": problem.m, "N": problem.N, "source": problem.source}
    log_progress(f"{name}: {problem.m} × {problem.N}, {problem.source}")
    best = reference(problem, args.quick)
    payload["cold"][name] = cold(problem, best, args.seeds, args.quick, args.only, args.prototype)
    if name != "synth":
        before = load_problem(name, args.data_dir, before=1)
        payload["warm"][name] = warm(problem, before, best, args.seeds)
    payload["passes"][name] = iteration_cost(problem, 3 if args.quick else 7)
    lowered = {r: v / best_known(problem)[r] - 1 for r, v in best.items()}
    payload["problems"][name]["best_share"] = {r: v / problem.energy for r, v in best.items()}
    payload["problems"][name]["best_lowered_later_by"] = lowered


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same ratios from fewer seeds, under ten minutes")
    parser.add_argument("--data-dir", type=Path, default=DATA, help="holds MNIST/raw; default: data in the repository")
    parser.add_argument("--prototype", type=Path, help="folder with the prototype's fast.py; default: none")
    parser.add_argument("--seeds", type=int, default=8, help="seeds of ours and, without --quick, of every peer")
    parser.add_argument("--problems", nargs="+", default=["mnist", "big", "synth"], choices=["mnist", "big", "synth"])
    parser.add_argument("--only", nargs="*", default=[""], help="run peers whose name contains one of these words")
    return parser.parse_args()


if __name__ == "__main__":
    main()
