"""Errors of the truncated SVD ("floors") with many samples, against the time of a fit and the size of the data."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table, subprocess_environment
from benchmarks.spectra.networks import cifar10
from lightning_factorlens.factorization import CoupledProblem, fit
from lightning_factorlens.linalg.svd import truncation_errors
from lightning_factorlens.metrics.part_spectra import PartSpectra
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8, 16, 32)
FEATURES = 4096
LAYERS = 6
#: Samples up to which the floors are compared with those of the eigenvalues of all Gram matrices.
COMPARED_UP_TO = 2048


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the floors for growing numbers of samples, each in a process of its own."""
    rows: list[dict[str, float]] = []
    for n_samples in (512, 2048) if quick else (1024, 2048, 4096):
        command = [sys.executable, "-m", "benchmarks.scale.floors", str(data_dir), str(n_samples)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=subprocess_environment(1))
        rows.append(dict(zip(COLUMNS, map(float, done.stdout.split()[-len(COLUMNS) :]))))
        print(rows[-1], flush=True)
    last = rows[-1]
    errors = [row["largest_error"] for row in rows if not math.isnan(row["largest_error"])]
    lines = []
    for row in rows:
        error = "" if math.isnan(row["largest_error"]) else f"{row['largest_error']:.1e}"
        exact = "" if math.isnan(row["exact"]) else f"{row['exact']:.2f}"
        seconds = [f"{row[key]:.2f}" for key in ("cold", "warm", "floors")]
        ratio = f"{row['floors'] / row['warm']:.1f}"
        lines.append([f"{row['samples']:.0f}", *seconds, ratio, exact, error, f"{row['memory']:.2f}"])
    header = ["N", "cold fit, s", "warm fit, s", "floors, s", "× warm", "exact, s", "largest error", "memory × data"]
    section = (
        f"## Floors\n\n`python -m benchmarks.scale --parts floors`. One input channel and {LAYERS} layers of "
        f"{FEATURES} features of a random ReLU network on CIFAR-10, ranks {', '.join(map(str, RANKS))}. Floors of "
        "every block, of all layers and of everything, weighted and unweighted. Below N = 2,048 they come from all "
        "Gram matrices, then by iteration; exact: all eigenvalues of the weighted parts, from which the largest error "
        "is a difference.\n\n" + markdown_table(header, lines)
    )
    n_samples = int(last["samples"])
    return Measured(
        section,
        {"rows": rows},
        [
            Figure(f"floors_over_warm_fit_{n_samples}", last["floors"] / last["warm"], 2, at_most=True),
            Figure(f"floors_memory_over_data_{n_samples}", last["memory"], 1.2, at_most=True),
            Figure("floors_largest_error", max(errors), 1e-7, at_most=True),
        ],
    )


COLUMNS = ("samples", "cold", "warm", "floors", "exact", "largest_error", "memory")


def measure_one(data_dir: Path, n_samples: int) -> dict[str, float]:
    """Seconds of fits and floors, largest error of a floor, and added peak memory relative to the data."""
    torch.set_num_threads(1)
    problem = CoupledProblem(random_layers(data_dir, n_samples))
    cold, factorization = timed(lambda: fit(problem, RANKS))
    warm, factorization = timed(lambda: fit(problem, RANKS, start=factorization.F))
    groups = BlockGroups(problem)
    curves = groups.curves(factorization)
    data = sum(block.samples.numel() * block.samples.element_size() for block in problem.blocks)
    # The fit's own peak is below that of the floors, or the floors add nothing to it.
    before = resident_bytes()
    reset_peak()
    floors_seconds, floors = timed(lambda: groups.svd_curves(curves))
    memory = (peak_bytes() - before) / data
    exact = largest = math.nan
    if n_samples <= COMPARED_UP_TO:
        exact, eigenvalues = timed(lambda: PartSpectra(problem, groups.members).weighted_eigenvalues())
        largest = 0.0
        for part, curve in floors.items():
            errors = truncation_errors(eigenvalues[part], RANKS)
            for found, expected in zip(curve.rel_error, errors):
                largest = max(largest, abs(found - math.sqrt(expected)))
    values = (float(n_samples), cold, warm, floors_seconds, exact, largest, memory)
    return dict(zip(COLUMNS, values))


def random_layers(data_dir: Path, n_samples: int) -> list[Block]:
    """Activations of a random ReLU network on images of CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    hidden = cifar10(data_dir).train_x[:n_samples].flatten(1)
    channel = hidden[:, :1024] - hidden.min()
    blocks = [Block("input/0", "input", channel.contiguous(), (1024,))]
    for layer in range(LAYERS):
        weight = torch.randn(hidden.shape[1], FEATURES, generator=generator) / math.sqrt(hidden.shape[1])
        hidden = (hidden @ weight).relu()
        hidden = hidden / hidden.std()
        blocks.append(Block(f"layer{layer}", "activation", hidden, (FEATURES,)))
    return blocks


def reset_peak() -> None:
    """Sets the peak of the resident memory to its present size, where Linux allows it."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_bytes() -> int:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """The largest resident memory of this process since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no line VmHWM: the peak memory can be measured on Linux only")


def main(arguments: Any) -> None:
    """Prints the numbers of one number of samples, in the order of `COLUMNS`."""
    print(*measure_one(Path(arguments[0]), int(arguments[1])).values())


if __name__ == "__main__":
    main(sys.argv[1:])
