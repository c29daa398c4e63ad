"""Overhead of the lens in `examples/cifar10_resnet.py`: fraction of an epoch by default, and of a run with a budget.

    python -m benchmarks.overhead --data cifar10.npz [--threads 2]

Each run is a process of its own. The fractions are those that the lens logs and prints; they are ratios of wall times,
so nothing else should run on the machine. It takes half an hour on two cores: the default run trains one epoch on all
of CIFAR-10, and two shorter runs train on 2,000 images per epoch, without and with a budget.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.reporting import (
    ROOT,
    Figure,
    machine,
    markdown_table,
    median,
    print_figures,
    subprocess_environment,
    write_json,
    write_section,
)

#: The line that the lens prints at the end of a run.
CLOSING_LINE = re.compile(r"FactorLens: (\d+) observations(?: \((\d+) full\))? in ([\d.]+) s, ([\d.]+) % of the time")
#: Runs a script whose callback takes the limit that is the first argument, unless the script sets one.
WITH_LIMIT = """
import ast, runpy, sys
from lightning_factorlens import FactorLensCallback

FactorLensCallback.__init__.__kwdefaults__["max_overhead"] = ast.literal_eval(sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Cost:
    """The cost of the lens in one run.

    Attributes:
        run: Description of the run.
        epochs: Number of epochs.
        observations: Number of observations, the one before training included.
        full: Number of those that were made in full.
        seconds: Seconds of all observations.
        overhead: Fraction of the whole run, the observation before training included.
        overhead_per_epoch: Median over the observations of their fraction of the time since the last one.
        consistency: The part of ``overhead_per_epoch`` that the shifted probe costs.
    """

    run: str
    epochs: int
    observations: int
    full: int
    seconds: float
    overhead: float
    overhead_per_epoch: float
    consistency: float


def measure(name: str, limit: float | None, data: Path, threads: int, epochs: int, *options: str) -> Cost:
    """Runs the example in a process of its own and reads what the lens logged and printed.

    Raises:
        RuntimeError: The lens printed no closing line.
    """
    script = ROOT / "examples" / "cifar10_resnet.py"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", WITH_LIMIT, repr(limit), str(script), "--data", str(data.resolve())]
        command += ["--epochs", str(epochs), "--log-dir", folder, *options]
        environment = subprocess_environment(threads)
        environment["PYTHONPATH"] += os.pathsep + str(script.parent)  # the script imports its neighbour
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
        closing = CLOSING_LINE.search(done.stdout + done.stderr)
        if closing is None:
            raise RuntimeError(f"{script.name}: found no closing line of the lens in: {done.stdout[-2000:]}")
        overheads = logged_values(Path(folder), "factorlens_cost/overhead")
        totals = logged_values(Path(folder), "factorlens_cost/seconds")
        consistencies = logged_values(Path(folder), "factorlens_cost/consistency")
    parts = []
    # The observation before training has no overhead, so the lists are aligned at their ends.
    for overhead, consistency, total in zip(reversed(overheads), reversed(consistencies), reversed(totals)):
        parts.append(overhead * consistency / total)
    n_observations, n_full, seconds, percent = closing.groups()
    return Cost(
        run=name,
        epochs=epochs,
        observations=int(n_observations),
        full=int(n_full or n_observations),
        seconds=float(seconds),
        overhead=float(percent) / 100,
        overhead_per_epoch=median(overheads),
        consistency=median(parts),
    )


def logged_values(folder: Path, tag: str) -> list[float]:
    """The values of one tag in TensorBoard's files below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: list[float] = []
    for file in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            values += [event.value for event in events.Scalars(tag)]
    return values


def section(runs: Sequence[Cost], threads: int) -> str:
    """The section of the README."""
    header = ("run", "epochs", "observations", "full", "seconds", "fraction of the run",
              "fraction of the time between observations", "of that, consistency")  # fmt: skip
    rows = []
    for r in runs:
        counts = (str(r.epochs), str(r.observations), str(r.full))
        fractions = (f"{r.overhead:.1%}", f"{r.overhead_per_epoch:.2%}", f"{r.consistency:.2%}")
        rows.append((r.run, *counts, f"{r.seconds:.1f}", *fractions))
    command = f"`python -m benchmarks.overhead --data cifar10.npz --threads {threads}`"
    summary = (__doc__ or "").splitlines()[0]
    return f"## Overhead of the lens\n\n{command}: {summary}\n\n{markdown_table(header, rows)}"


def main() -> None:
    """Measures three runs, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the file cifar10.npz")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of the default run")
    parser.add_argument("--small-epochs", type=int, default=14, help="epochs of the run with 2,000 images and a budget")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    small = ("--images", "2000")
    runs = [
        measure("every observation full", None, args.data, args.threads, args.epochs),
        measure("2,000 images, every observation full", None, args.data, args.threads, 3, *small),
        measure("2,000 images, max_overhead=0.02", 0.02, args.data, args.threads, args.small_epochs, *small),
    ]
    write_section("overhead", "overhead", section(runs, args.threads))
    figures = [
        Figure("overhead_share_of_an_epoch_at_defaults", runs[0].overhead_per_epoch, 0.05, at_most=True),
        Figure("overhead_consistency_share_at_defaults", runs[0].consistency, 0.01, at_most=True),
        Figure("overhead_share_of_an_epoch_of_2000_images", runs[1].overhead_per_epoch, 0.05, at_most=True),
        Figure("overhead_share_of_the_run_at_budget_0.02", runs[2].overhead, 0.02, at_most=True),
    ]
    payload = {"machine": machine(("lightning", "torchvision")), "threads": args.threads}
    write_json("overhead", "overhead", {**payload, "runs": [asdict(r) for r in runs]}, figures)
    print_figures(figures)


if __name__ == "__main__":
    main()
