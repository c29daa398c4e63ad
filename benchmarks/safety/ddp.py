"""One look on 1, 2 and 4 processes: seconds, memory, and whether the numbers stay the same.

python -m benchmarks.safety.ddp [--quick] [--processes 1 2 4] [--looks 4]

A network of many neurons (about 393,000, none left out) and a probe of 512 images; every process has one thread, and
they talk over gloo on one machine. Two kinds of seconds: wall seconds from the first to begin to the last to end, and
processor seconds of the busiest process, its transfers included. Where there are fewer cores than processes, or others
use the machine, only the second says what each process would need on a core of its own; they stand beside each other.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import tempfile
import time
from typing import Any

# One thread, said before the numerical libraries are loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from lightning_factorlens import FactorLens
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.results import Observation

PHASES = ("probe", "factorization", "metrics", "spectra")


def main() -> None:
    """Measures, writes JSON and table, and closes with the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="128 images, a quarter of the neurons; nothing is written")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--looks", type=int, default=4, help="after the first, which starts cold")
    args = parser.parse_args()
    before = machine()
    found = {size: measure(size, args.looks, args.quick) for size in sorted({1, *args.processes})}
    rows = {size: summary(runs) for size, runs in found.items()}
    for row, runs in zip(rows.values(), found.values()):
        row["difference"] = max(difference(found[1][0]["numbers"], run["numbers"]) for run in runs)
    neurons, images = found[1][0]["neurons"], found[1][0]["images"]
    figures = figures_of(rows)
    text = table(rows, before, neurons, images)
    if args.quick:
        print(text)
    else:
        payload = {"machine": before, "load_after": os.getloadavg(), "neurons": neurons, "images": images}
        write_json("safety", "ddp", {**payload, "processes": rows}, figures)
        write_section("safety", "ddp", text)
    print_figures(figures)


def network(quick: bool) -> nn.Module:
    """Wide early layers, as in a network for large images, and cheap convolutions: features are what costs."""
    torch.manual_seed(0)
    wide = 8 if quick else 32

    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False), nn.Conv2d(a, b, 1), nn.ReLU()]

    parts = [nn.Conv2d(3, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *block(wide, 2 * wide)]
    for _ in range(3):
        parts += block(2 * wide, 2 * wide)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * wide, 10)).eval()


@torch.no_grad()
def train_a_little(model: nn.Module, step: int) -> None:
    """Stands for an epoch: the weights move, the same in all processes."""
    random = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p += 0.05 * p.std() * torch.randn(p.shape, generator=random)


def pictures(count: int) -> Tensor:
    """Smooth random images, shape (count, 3, 64, 64)."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, 64, mode="bilinear")


def measure(size: int, count: int, quick: bool) -> list[dict[str, Any]]:
    """Looks in ``size`` processes: what each of them measured."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (size, port, folder, count, quick), nprocs=size)
        runs = [torch.load(f"{folder}/{place}.pt", weights_only=False) for place in range(size)]
    print(f"{size} processes: {[round(max(r['looks'][k]['wall'] for r in runs), 2) for k in range(count + 1)]} s")
    return runs


def process(place: int, size: int, port: int, folder: str, count: int, quick: bool) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    team = SingleProcess()
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=place, world_size=size)
        team = get_process_group(torch.device("cpu"), size)
    model, images = network(quick), pictures(128 if quick else 512)
    lens = FactorLens(model, LensOptions(max_neurons_per_layer=None), process_group=team)
    with team.synchronized_errors():
        lens.select_layers(images)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    looks, numbers = [], []
    for step in range(count + 1):
        train_a_little(model, step)
        team.all_gather_object("ready")
        wall, cpu = time.perf_counter(), time.process_time()
        with team.synchronized_errors():
            seen = lens.observe(images, step)
        looks.append(
            {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "seconds": dict(seen.seconds)}
        )
        numbers.append(numbers_of(seen))
        neurons = sum(len(w) for w in seen.factorization.W[0]) if seen.factorization else 0
        del seen
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
    found = {"looks": looks, "numbers": numbers, "mib": peak / 1024, "neurons": neurons, "images": len(images)}
    torch.save(found, f"{folder}/{place}.pt")
    if size > 1:
        dist.destroy_process_group()


def numbers_of(seen: Observation) -> dict[str, float]:
    """Curves, floors, effective ranks, consistency and α by name."""
    found = {f"effective_rank/{s}": v for s, v in seen.effective_rank.items()}
    for name, curves in (("curve", seen.curves), ("floor", seen.svd_curves)):
        found |= {f"{name}/{s}/{r}": e for s, c in curves.items() for r, e in zip(c.ranks, c.rel_error)}
    found |= {f"alpha/{s.layer}": s.fit.alpha for s in seen.spectra if s.fit.alpha == s.fit.alpha}
    return found | ({} if seen.consistency is None else {"consistency": seen.consistency})


def difference(alone: list[dict[str, float]], together: list[dict[str, float]]) -> float:
    """The largest of any number at any look, relative where the number is above 1."""
    pairs = [(a[name], b[name]) for a, b in zip(alone, together) for name in a]
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all processes: the cold look, the fastest of the warm ones (others use the machine too), memory."""
    walls, cpus = (
        [max(r["looks"][k][kind] for r in runs) for k in range(len(runs[0]["looks"]))] for kind in ("wall", "cpu")
    )
    fastest = min(range(1, len(walls)), key=lambda k: walls[k])
    phases = {p: max(r["looks"][fastest]["seconds"][p] for r in runs) for p in PHASES}
    return {
        "wall": min(walls[1:]),
        "cpu": min(cpus[1:]),
        "wall_cold": walls[0],
        "cpu_cold": cpus[0],
        "walls": walls,
        "cpus": cpus,
        "phases": phases,
        "mib": max(r["mib"] for r in runs),
    }


def figures_of(rows: dict[int, dict[str, Any]]) -> list[Figure]:
    """Against one process."""
    one, figures = rows[1], []
    for size, row in rows.items():
        if size > 1:
            figures += [
                Figure(f"ddp_cpu_speedup_{size}", one["cpu"] / row["cpu"], 0.7 * size),
                Figure(f"ddp_cpu_speedup_cold_{size}", one["cpu_cold"] / row["cpu_cold"], 0.4 * size),
                Figure(f"ddp_memory_share_{size}", row["mib"] / one["mib"], 1 / size + 0.2, at_most=True),
                Figure(f"ddp_largest_difference_{size}", row["difference"], 1e-5, at_most=True),
            ]
            if size <= (os.cpu_count() or 1):
                figures.append(Figure(f"ddp_wall_speedup_{size}", one["wall"] / row["wall"], 0.7 * size))
    return figures


def table(rows: dict[int, dict[str, Any]], where: dict[str, Any], neurons: int, images: int) -> str:
    """The section of benchmarks/README.md."""
    head = ["processes", "warm look: processor s", "wall s", *(f"{p} s" for p in PHASES)]
    head += ["first look: processor s", "wall s", "memory, MiB", "largest difference"]
    body = []
    for size, r in rows.items():
        cells = [r["cpu"], r["wall"], *r["phases"].values(), r["cpu_cold"], r["wall_cold"]]
        body.append([str(size), *(f"{x:.2f}" for x in cells), f"{r['mib']:.0f}", f"{r['difference']:.0e}"])
    return (
        "## Several processes\n\n"
        f"`python -m benchmarks.safety.ddp`, {where['date'][:10]}, {where['processor']}, {where['cores']} cores shared with "
        f"other work (load {where['load_average'][0]:.1f} at the start), one thread a process, gloo. {images} images, "
        f"{neurons:,} features, none left out. Processor seconds and memory (above that before the look) are those of "
        "the process that needed most, phases are wall seconds; a warm look goes on from the last one's factors, the "
        "fastest counts. With more processes than cores the wall seconds say nothing.\n\n" + markdown_table(head, body)
    )


if __name__ == "__main__":
    main()
