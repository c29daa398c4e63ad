"""How the cost of an observation's parts grows with samples, ranks, layers, features, weights and processes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale.growth_parts import PARTS, observation_parts, spectra_seconds, warm_operations
from benchmarks.scale.growth_processes import HIDDEN, N_BLOCKS, WIDTH, process_share
from benchmarks.scale.power_law import PowerLaw, fit_power_law
from benchmarks.scale.shares import in_processes
from lightning_factorlens.metrics.part_spectra import LARGE_N

SAMPLES = 256
LAYERS = 6
FEATURES = 4096
RANK = 32
#: Columns of the parts that several methods compute, one below and one from `LARGE_N` samples on.
SPECTRA_OF_ACTIVATIONS = ("Gram matrices", "floors", "effective rank")
#: What the first column of each table counts, its sizes, and the first ones of them with ``--quick``.
SIZES: dict[str, tuple[tuple[int, ...], int]] = {
    "N": ((64, 128, 256, 512, 1024, 2048), 2),
    "largest rank": ((8, 16, 32, 64, 128), 2),
    "layers": ((6, 12, 24, 48, 96), 2),
    "features": ((2048, 4096, 8192, 16384), 2),
    "number of matrices": ((1, 2, 4, 8, 16), 3),
    "rows of a matrix": ((128, 256, 512, 1024, 2048), 3),
    "processes": ((8, 16, 64, 256, 1000, 4096), 5),
    "gloo processes": ((2, 4, 8), 0),
}

Row = dict[str, float]


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures all tables and fits the exponents."""
    began = time.time()
    tables: dict[str, list[Row]] = {}
    for what, (sizes, n_quick) in SIZES.items():
        for size in sizes[:n_quick] if quick else sizes:
            row = {what: float(size), **_measure_one(what, size)}
            tables.setdefault(what, []).append(row)
            print(row, flush=True)
    laws = {what: exponents(what, rows) for what, rows in tables.items()}
    largest_matrix = spectra_seconds(1, WIDTH, HIDDEN)["spectra"]
    operations = warm_operations(N_BLOCKS - 1)
    payload = {
        "tables": tables,
        "exponents": {what: {column: asdict(law) for column, law in of.items()} for what, of in laws.items()},
        "largest_matrix_seconds": largest_matrix,
        "warm_operations": operations,
        "minutes": (time.time() - began) / 60,
    }
    section = (
        f"{_section(tables, laws)}\n\nThe spectrum of one matrix of {WIDTH} × {HIDDEN}, the largest of a ViT-g/14, "
        f"takes {largest_matrix:.2f} s. A warm fit of {N_BLOCKS} blocks, with errors and floors, calls {operations} "
        "operations of torch that compute something."
    )
    return Measured(section, payload, _figures(tables, laws))


def _measure_one(what: str, size: int) -> Row:
    """One row of a table."""
    if what == "number of matrices":
        return spectra_seconds(size, 256)
    if what == "rows of a matrix":
        return spectra_seconds(1, size)
    if what == "processes":
        share = process_share(size)
        return {name: share[name] for name in ("images", "features", "matrices", "factors", "Gram matrices", "bytes")}
    if what == "gloo processes":
        return _real_processes(size)
    sizes = {"N": SAMPLES, "layers": LAYERS, "features": FEATURES, "largest rank": RANK} | {what: size}
    ranks = tuple(2**power for power in range(int(math.log2(sizes["largest rank"])) + 1))
    return observation_parts(sizes["N"], sizes["layers"], sizes["features"], ranks)


def _real_processes(count: int) -> Row:
    """The largest number of every process's counts."""
    found = in_processes(count)
    row = {"images": float(max(max(result["passes"]) for result in found))}
    for name in ("handshakes", "collectives", "received", "seconds"):
        row[name] = float(max(result[name] for result in found))
    return row


def exponents(what: str, rows: Sequence[Row]) -> dict[str, PowerLaw]:
    """The power law of every column, fitted to the sizes of one method."""
    found = {}
    for column in rows[0]:
        used = [row for row in rows if column not in SPECTRA_OF_ACTIVATIONS or row.get("N", 0) < LARGE_N]
        if column != what and len(used) > 1 and all(row[column] > 0 for row in used):
            found[column] = fit_power_law([row[what] for row in used], [row[column] for row in used])
    return found


def _table(what: str, rows: Sequence[Row], laws: dict[str, PowerLaw]) -> str:
    columns = [column for column in (PARTS if PARTS[0] in rows[0] else rows[0]) if column != what]
    lines = []
    for row in rows:
        lines.append([f"{row[what]:.0f}", *[_number(row[column]) for column in columns]])
    fitted = [str(laws.get(column, "")) for column in columns]
    return markdown_table([what, *columns], [*lines, ["exponent", *fitted]])


def _number(value: float) -> str:
    if value >= 1e5:
        return f"{value / 1e6:.1f} M"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _section(tables: dict[str, list[Row]], laws: dict[str, dict[str, PowerLaw]]) -> str:
    texts = {
        "N": "Processor seconds of one thread, and the size of the capture. A random residual network on smooth random "
        f"images: one input channel of 1,024 values and layers of random features. Where nothing else is said: N = "
        f"{SAMPLES}, {LAYERS} layers of {FEATURES} features, ranks 1, 2, 4, … to {RANK}. Cold and warm are the "
        "iterations on sampled rows, warm after every weight has changed by a hundredth; the last pass is that over "
        "all rows. Floors and effective rank are measured each on its own and contain the Gram matrices; up to 2,047 "
        "samples an observation computes matrices and eigenvalues once for both. Exponents are slopes of the "
        "logarithms with their standard errors, for the last three columns of seconds without N = 2,048, where "
        "another method begins.",
        "largest rank": f"Ranks 1, 2, 4, … to the largest, N = {SAMPLES}.",
        "layers": "Layers.",
        "features": "Features of each layer.",
        "number of matrices": "Spectra of weights: matrices of 256 × 256, all changed or unchanged.",
        "rows of a matrix": "One square matrix.",
        "processes": f"Simulated group, N = {SAMPLES}, {N_BLOCKS} blocks of {FEATURES} features, and the weights of "
        "the 40 layers of a ViT-g/14: the largest numbers of images, features and matrices of a process, and bytes "
        "that the last process receives in a warm observation; factors and Gram matrices are the largest part.",
        "gloo processes": "Real processes on one machine and the small network of the section on shares: the largest "
        "of any process in a warm observation.",
    }
    parts = ["## Growth\n\n`python -m benchmarks.scale --parts growth`."]
    for what, rows in tables.items():
        parts += [texts[what], _table(what, rows, laws[what])]
    return "\n\n".join(parts)


def _figures(tables: dict[str, list[Row]], laws: dict[str, dict[str, PowerLaw]]) -> list[Figure]:
    figures = []
    by_rank = {row["largest rank"]: row["cold"] for row in tables["largest rank"]}
    if 128 in by_rank:
        figures.append(Figure("growth_cold_rank_128_over_64", by_rank[128] / by_rank[64], 3, at_most=True))
    goals = [("N", "warm", 1.0), ("layers", "warm", 0.5), ("layers", "last pass", 1.2), ("processes", "bytes", 0.0)]
    for what, column, goal in goals:
        name = f"growth_exponent_{column}_over_{what}".replace(" ", "_").lower()
        figures.append(Figure(name, laws[what][column].exponent, goal, at_most=True))
    return figures
