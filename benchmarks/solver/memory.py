"""Memory of the solver: growth of the process by `factorize` at its default settings, relative to the blocks' size.

    python -m benchmarks.solver.memory [--data-dir DIR] [--problems mnist big resnet18] [--repeats 3]

Every fit runs in a process of its own (`memory_peak`); the largest of the repeats counts. The blocks belong to the
caller and are not counted; what the fit returns (F, W) is counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.reporting import (
    Figure,
    machine,
    markdown_table,
    print_figures,
    subprocess_environment,
    write_json,
    write_section,
)
from benchmarks.solver.networks import DATA
from benchmarks.solver.problems import RANKS, load_problem, planted

#: Goal: largest extra memory relative to the size of the blocks.
GOAL = 1.2
MIB = 2**20


def main() -> None:
    """Measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA, help="holds MNIST/raw; default: data in the repository")
    parser.add_argument("--problems", nargs="+", default=["mnist", "big", "resnet18"])
    parser.add_argument("--repeats", type=int, default=3, help="processes per problem")
    args = parser.parse_args()
    payload: dict[str, Any] = {"machine": machine(["lightning-factorlens"]), "ranks": RANKS, "problems": {}}
    for name in args.problems:
        source, blocks = load_blocks(name, args.data_dir)
        payload["problems"][name] = {"source": source, **peaks(blocks, args.repeats)}
    figures = judge(payload)
    write_json("solver", "memory", payload, figures)
    write_section("solver", "memory", report(payload, figures))
    print_figures(figures)


def load_blocks(name: str, data_dir: Path) -> tuple[str, list[Tensor]]:
    """The description of a problem, and its blocks of shape (N, features).

    ``resnet18`` has the shape of the network's 17 activations with 4,096 neurons per layer and 256 images, filled with
    planted non-negative factors.
    """
    if name == "resnet18":
        (whole,) = planted(17 * 4096, 256).blocks
        return "17 layers of 4,096 features, planted", [x.contiguous() for x in whole.samples.split(4096, 1)]
    problem = load_problem(name, data_dir)
    return problem.source, [block.samples for block in problem.blocks]


def peaks(blocks: Sequence[Tensor], repeats: int) -> dict[str, Any]:
    """Bytes of the blocks, of the factors, and of the growth in every process, cold and warm."""
    found: dict[str, Any] = {
        "N": len(blocks[0]),
        "features": sum(x.shape[1] for x in blocks),
        "blocks": sum(x.numel() * x.element_size() for x in blocks),
        "factors": sum(RANKS) * (len(blocks[0]) + sum(x.shape[1] for x in blocks)) * blocks[0].element_size(),
        "cold": [],
        "warm": [],
    }
    environment = subprocess_environment(threads=1)
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        torch.save(list(blocks), file.name)
        command = [sys.executable, "-m", "benchmarks.solver.memory_peak", file.name]
        for _ in range(repeats):
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            for key, value in json.loads(done.stdout.splitlines()[-1]).items():
                found[key].append(value)
    for key in ("cold", "warm"):
        found[f"{key}_over_blocks"] = max(found[key]) / found["blocks"]
    return found


def judge(payload: dict[str, Any]) -> list[Figure]:
    """The figures, cold and warm, of every problem."""
    figures = []
    for name, row in payload["problems"].items():
        for start in ("cold", "warm"):
            figures.append(Figure(f"memory_{start}_{name}", row[f"{start}_over_blocks"], GOAL, at_most=True))
    return figures


def report(payload: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The section of the README."""
    header = ["", "blocks", "factors returned", "extra, cold", "over the blocks", "extra, warm", "over the blocks"]
    rows = []
    for name, row in payload["problems"].items():
        cells = [f"{row['blocks'] / MIB:.0f} MiB", f"{row['factors'] / MIB:.0f} MiB"]
        for key in ("cold", "warm"):
            cells += [f"{max(row[key]) / MIB:.0f} MiB", f"{row[f'{key}_over_blocks']:.2f} ×"]
        rows.append([f"{name}, {row['features']:,} × {row['N']}", *cells])
    sources = "; ".join(f"**{p}** {row['source']}" for p, row in payload["problems"].items())
    return "\n\n".join(
        [
            "## Memory of the solver",
            f"`python -m benchmarks.solver.memory`, {payload['machine']['date'][:10]}. Largest growth "
            f"of the resident set while `factorize` runs at its default settings on ranks {', '.join(map(str, RANKS))}"
            ", one thread; the largest of several processes. The blocks belong to the caller and are not counted, the "
            f"returned factors are. {sources}.",
            markdown_table(header, rows),
            "```\n" + "\n".join(map(str, figures)) + "\n```",
        ]
    )


if __name__ == "__main__":
    main()
