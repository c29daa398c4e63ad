"""One measurement on 1, 2 and 4 processes: seconds, memory, and whether the numbers stay the same.

    python -m benchmarks.safety.ddp [--quick] [--processes 1 2 4] [--measurements 4]

A network of many neurons (about 393,000, none left out) and a probe of 512 images. Every process has one thread, and
the processes communicate by gloo on one machine. Two kinds of seconds are reported: wall seconds from the first process
that begins to the last that ends, and processor seconds of the busiest process, its transfers included. Where there are
fewer cores than processes, or other work on the machine, only the processor seconds show what each process would need
on a core of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The numerical libraries read the number of threads when they are imported.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from lightning_factorlens import FactorLens
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.results import Cost, Observation

#: Phases of a measurement whose seconds are reported; the others are summed up as "other".
PHASES = ("capture", "factorization", "weight_spectra")
OTHER = "other"

#: What one process reports, and the summary over the processes.
Report = dict[str, Any]
Summary = dict[str, Any]


def main() -> None:
    """Measures, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="128 images, a quarter of the neurons; nothing is written")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--measurements", type=int, default=4, help="number after the first one, which starts cold")
    args = parser.parse_args()
    before = machine()
    reports = {}
    for size in sorted({1, *args.processes}):
        reports[size] = measure(size, args.measurements, args.quick)
    single = reports[1][0]
    summaries = {}
    for size, of_size in reports.items():
        summaries[size] = summary(of_size)
        summaries[size]["difference"] = max(difference(single["numbers"], r["numbers"]) for r in of_size)
    figures = judge(summaries)
    text = section(summaries, before, single["neurons"], single["images"])
    if args.quick:
        print(text)
    else:
        payload = {"machine": before, "load_after": os.getloadavg()}
        payload |= {"neurons": single["neurons"], "images": single["images"], "processes": summaries}
        write_json("safety", "ddp", payload, figures)
        write_section("safety", "ddp", text)
    print_figures(figures)


def network(quick: bool) -> nn.Module:
    """A network with wide early layers and cheap convolutions, so that most of the cost is that of the features."""
    torch.manual_seed(0)
    wide = 8 if quick else 32

    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False), nn.Conv2d(a, b, 1), nn.ReLU()]

    layers: list[nn.Module] = [nn.Conv2d(3, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), *block(wide, 2 * wide)]
    for _ in range(3):
        layers += block(2 * wide, 2 * wide)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * wide, 10)).eval()


@torch.no_grad()
def perturb_weights(model: nn.Module, step: int) -> None:
    """Moves the weights as an epoch of training would, by the same amount in all processes."""
    random = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.add_(0.05 * p.std() * torch.randn(p.shape, generator=random))


def smooth_images(count: int) -> Tensor:
    """Smooth random images, shape (count, 3, 64, 64)."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, 64, mode="bilinear")


def measure(size: int, count: int, quick: bool) -> list[Report]:
    """Measures in ``size`` processes, once cold and ``count`` times warm; one report per process."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (size, port, folder, count, quick), nprocs=size)
        reports = [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(size)]
    walls = [round(slowest(reports, k, "wall"), 2) for k in range(count + 1)]
    print(f"{size} processes: {walls} s")
    return reports


def process(rank: int, size: int, port: int, folder: str, count: int, quick: bool) -> None:
    """The work of one process; writes its report to ``folder/RANK.pt``."""
    torch.set_num_threads(1)
    group = SingleProcess()
    if size > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
        group = get_process_group(torch.device("cpu"), size)
    model = network(quick)
    images = smooth_images(128 if quick else 512)
    lens = FactorLens(model, LensOptions(max_neurons_per_layer=None), process_group=group, outputs="classes")
    with group.synchronized_errors():
        lens.select_layers(images)
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measurements = []
    numbers = []
    neurons = 0
    for step in range(count + 1):
        perturb_weights(model, step)
        group.all_gather_object("ready")
        wall = time.perf_counter()
        cpu = time.process_time()
        with group.synchronized_errors():
            observation = lens.observe(images, step)
        wall = time.perf_counter() - wall
        cpu = time.process_time() - cpu
        measurements.append({"wall": wall, "cpu": cpu, "seconds": phase_seconds(observation["cost"])})
        numbers.append(numbers_of(observation))
        if observation.factorization:
            neurons = sum(len(W) for W in observation.factorization.W[0])
        del observation
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before
    report = {"measurements": measurements, "numbers": numbers, "mib": peak / 1024}
    report |= {"neurons": neurons, "images": len(images)}
    torch.save(report, Path(folder) / f"{rank}.pt")
    if size > 1:
        dist.destroy_process_group()


def numbers_of(observation: Observation) -> dict[str, float]:
    """Curves, lower bounds by singular values, effective ranks, consistency and α, by name."""
    numbers = {f"effective_rank/{s}": rank for s, rank in observation["effective_rank"].by_scope.items()}
    for name, measurement in (("curve", "reconstruction_error"), ("floor", "svd_error")):
        for scope, curve in observation[measurement].curves.items():
            for rank, error in zip(curve.ranks, curve.rel_error):
                numbers[f"{name}/{scope}/{rank}"] = error
    for spectrum in observation["weight_spectra"].layers:
        if spectrum.fit.alpha == spectrum.fit.alpha:  # a layer without a fit has NaN
            numbers[f"alpha/{spectrum.layer}"] = spectrum.fit.alpha
    if "consistency" in observation:
        numbers["consistency"] = observation["consistency"]["consistency"]
    return numbers


def phase_seconds(cost: Cost) -> dict[str, float]:
    """Seconds of the reported phases and of all others together."""
    seconds = {phase: cost.seconds[phase] for phase in PHASES}
    return {**seconds, OTHER: cost.seconds["total"] - sum(seconds.values())}


def difference(single: Sequence[dict[str, float]], several: Sequence[dict[str, float]]) -> float:
    """The largest difference of any number of any measurement, relative where the number is above 1."""
    largest = 0.0
    for a, b in zip(single, several):
        for name, value in a.items():
            largest = max(largest, abs(value - b[name]) / max(1.0, abs(value)))
    return largest


def slowest(reports: Sequence[Report], k: int, kind: str) -> float:
    """Seconds of the k-th measurement in the process that needed most."""
    return max(report["measurements"][k][kind] for report in reports)


def summary(reports: Sequence[Report]) -> Summary:
    """Over all processes: the cold measurement, the fastest of the warm ones (others use the machine too), memory."""
    count = len(reports[0]["measurements"])
    walls = [slowest(reports, k, "wall") for k in range(count)]
    cpus = [slowest(reports, k, "cpu") for k in range(count)]
    fastest = min(range(1, count), key=lambda k: walls[k])
    phases = {}
    for phase in (*PHASES, OTHER):
        phases[phase] = max(report["measurements"][fastest]["seconds"][phase] for report in reports)
    return {
        "wall": min(walls[1:]),
        "cpu": min(cpus[1:]),
        "wall_cold": walls[0],
        "cpu_cold": cpus[0],
        "walls": walls,
        "cpus": cpus,
        "phases": phases,
        "mib": max(report["mib"] for report in reports),
    }


def judge(summaries: dict[int, Summary]) -> list[Figure]:
    """The figures of several processes relative to one."""
    one = summaries[1]
    figures = []
    for size, row in summaries.items():
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


def section(summaries: dict[int, Summary], about: dict[str, Any], neurons: int, images: int) -> str:
    """The section of the README."""
    header = ["processes", "warm: processor s", "wall s", *(f"{phase} s" for phase in (*PHASES, OTHER))]
    header += ["first: processor s", "wall s", "memory, MiB", "largest difference"]
    rows = []
    for size, row in summaries.items():
        seconds = [row["cpu"], row["wall"], *row["phases"].values(), row["cpu_cold"], row["wall_cold"]]
        cells = [f"{x:.2f}" for x in seconds]
        rows.append([str(size), *cells, f"{row['mib']:.0f}", f"{row['difference']:.0e}"])
    return (
        "## Several processes\n\n"
        f"`python -m benchmarks.safety.ddp`, {about['date'][:10]}, {about['processor']}, {about['cores']} cores shared "
        f"with other work (load {about['load_average'][0]:.1f} at the start), one thread per process, gloo. {images} "
        f"images, {neurons:,} features, none left out. Processor seconds and memory (above that before the "
        "measurement) are those of the process that needed most, phases are wall seconds. A warm measurement starts "
        "from the factors of the one before; the fastest counts. With more processes than cores the wall seconds have "
        "no meaning.\n\n" + markdown_table(header, rows)
    )


if __name__ == "__main__":
    main()
