"""The solver on a GPU: milliseconds cold and warm, compared with the best that the device could do.

    python -m benchmarks.solver.gpu [--device cuda] [--m 500000] [--N 512] [--small]

Two lower bounds are measured on the same device: the bytes that a fit must move divided by the speed of a large copy
(the blocks read once for their norms and once to be factorized, W written once), and the operations of the two products
of one iteration divided by the speed of a large product in full float32. The time is that of the whole call at its
default settings, construction of the problem and final evaluation included. Errors that the device reports are compared
with those that the CPU computes from the same factors.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.reporting import Figure, machine, markdown_table, median, print_figures, write_json
from benchmarks.solver.problems import planted
from lightning_factorlens.factorization import HALS, CoupledProblem, fit, full_precision
from lightning_factorlens.factorization.cuda_graphs import GraphedStep
from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.sampling import sampled_problem
from lightning_factorlens.linalg.nnls_admm import ADMM
from lightning_factorlens.linalg.nnls_dispatch import CoordinateDescent
from lightning_factorlens.linalg.nnls_triton import TritonHALS, kernel_width, unavailable_reason
from lightning_factorlens.results import Block, Factorization

#: The fraction of all features in each block, similar to the layers of a network.
SHARES = (0.4, 0.3, 0.2, 0.07, 0.03)
#: Goals, relative to the larger lower bound: the estimate for an H200 was 20 and 8 ms with a lower bound of 3 ms.
COLD_GOAL = 7.0
WARM_GOAL = 3.0


def main() -> None:
    """Measures and prints; on a GPU it also writes JSON."""
    args = _arguments()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device is available")
        return
    m, N, ranks = (6_000, 64, (1, 2, 4, 8)) if args.small else (args.m, args.N, (1, 2, 4, 8, 16, 32, 64))
    before, after = blocks(m, N, args.device)
    floor = floors(m, N, sum(ranks), args.device, args.small)
    cold, first = timed(lambda: fit(CoupledProblem(before), ranks), args.device, args.repeats)
    found = fit(CoupledProblem(before), ranks)
    warm, _ = timed(lambda: fit(CoupledProblem(after), ranks, start=found.F), args.device, args.repeats)
    difference = largest_difference(found, before)
    payload: dict[str, Any] = {"machine": machine(), "m": m, "N": N, "ranks": ranks, "device": str(args.device)}
    payload |= {"floors_ms": floor, "cold_ms": cold, "warm_ms": warm, "first_call_ms": first}
    payload["parts_ms"] = parts(before, ranks, args.device, args.repeats)
    payload["kernel"] = unavailable_reason(args.device, torch.float32, kernel_width(ranks)) or "runs"
    report(payload)
    least = max(floor["bytes"], floor["operations"])
    figures = [Figure("gpu_error_apart_from_cpu", difference, 1e-5, at_most=True)]
    if not args.small:  # times of small problems have no meaning
        figures.append(Figure("gpu_cold_over_floor", cold / least, COLD_GOAL, at_most=True))
        figures.append(Figure("gpu_warm_over_floor", warm / least, WARM_GOAL, at_most=True))
    if args.device.type == "cuda" and not args.small:
        write_json("solver", "gpu", payload, figures)
    print_figures(figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--m", type=int, default=500_000, help="features of all blocks")
    parser.add_argument("--N", type=int, default=512, help="samples")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--small", action="store_true", help="a size that runs on any device in seconds, to test this benchmark"
    )
    return parser.parse_args()


def blocks(m: int, N: int, device: torch.device) -> tuple[list[Block], list[Block]]:
    """A problem of several blocks, and a later state of it in which every entry has changed by up to 5 %."""
    samples = planted(m, N, rank=80).blocks[0].samples.to(device)
    generator = torch.Generator(device).manual_seed(1)
    later = torch.rand(samples.shape, generator=generator, device=device).mul_(0.1).add_(0.95).mul_(samples)
    sizes = [round(share * m) for share in SHARES[:-1]]
    sizes.append(m - sum(sizes))

    def cut(x: Tensor) -> list[Block]:
        parts = [part.contiguous() for part in x.split(sizes, 1)]
        return [Block(f"layer{i}", "activation", part, (part.shape[1],)) for i, part in enumerate(parts)]

    return cut(samples), cut(later)


def timed(call: Callable[[], Any], device: torch.device, repeats: int) -> tuple[float, float]:
    """Milliseconds: the median of ``repeats`` calls, and the first call, which compiles and allocates."""
    seconds = []
    for _ in range(repeats + 1):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 1e3 * median(seconds[1:]), 1e3 * seconds[0]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def floors(m: int, N: int, R: int, device: torch.device, small: bool) -> dict[str, float]:
    """Lower bounds in milliseconds of any fit on this device, and the speeds from which they follow."""
    size = 1 << (20 if small else 28)
    source, copy = torch.zeros(size, device=device), torch.empty(size, device=device)
    a = torch.rand(512 if small else 8192, 512 if small else 8192, device=device)
    with full_precision():
        copying, _ = timed(lambda: copy.copy_(source), device, 10)
        product, _ = timed(lambda: a @ a, device, 10)
    bytes_per_ms = 2 * 4 * size / copying
    operations_per_ms = 2 * float(len(a)) ** 3 / product
    return {
        "bytes": (2 * 4 * m * N + 4 * m * R) / bytes_per_ms,
        "operations": 4.0 * m * N * R / operations_per_ms,
        "GB_per_s": bytes_per_ms / 1e6,
        "TFLOP_per_s": operations_per_ms / 1e9,
    }


def parts(before: Sequence[Block], ranks: Sequence[int], device: torch.device, repeats: int) -> dict[str, float]:
    """Milliseconds of one iteration's products, of two sweeps by each inner solver, and of one sampled iteration."""
    groups, found = ComponentGroups(tuple(ranks)), {}
    with torch.no_grad(), full_precision():
        problem = CoupledProblem(before)
        F = torch.rand(sum(ranks), problem.N, device=device)
        B = problem.project(F)
        found["two products"] = timed(lambda: problem.backproject(problem.project(F, out=B)), device, repeats)[0]
        G, W = F @ F.T, B.clamp_min(0)
        solvers: dict[str, Any] = {"products alone": ADMM}
        if not unavailable_reason(device, torch.float32, kernel_width(ranks)):
            solvers["fused kernel"] = TritonHALS
        if device.type == "cpu":
            solvers["by component"] = CoordinateDescent
        for name, make in solvers.items():
            solver = make(ranks, G)
            found[f"two sweeps, {name}"] = timed(lambda s=solver: s.improve_(W, B, 2), device, repeats)[0]  # type: ignore[misc]
        part = sampled_problem(problem, min(4096, problem.m // 2))
        found |= _sample_stage(part, groups, torch.rand(sum(ranks), part.N, device=device), device, repeats)
    return found


def _sample_stage(
    part: CoupledProblem, groups: ComponentGroups, F: Tensor, device: torch.device, repeats: int
) -> dict[str, float]:
    solver = HALS()
    state = solver.step(part, groups, solver.init(part, groups, F))
    replayed = GraphedStep(solver, part, groups)
    plain, _ = timed(lambda: solver.step(part, groups, state), device, 10 * repeats)
    graph, first = timed(lambda: replayed(state), device, 10 * repeats)
    if replayed.graphed.fallback_reason:
        print(f"no CUDA graph: {replayed.graphed.fallback_reason}")
    return {"a sampled iteration": plain, "a sampled iteration, replayed": graph, "recording it": first}


def largest_difference(found: Factorization, before: Sequence[Block]) -> float:
    """The largest relative difference between the reported error and that of the factors, computed on the CPU."""
    worst = 0.0
    for F, factors, reported in zip(found.F, found.W, found.sse.tolist()):
        for W, block, sse in zip(factors, before, reported):
            X, f, w = block.samples.cpu(), F.cpu(), W.cpu()
            rows = [torch.addmm(x, f.T, v.T, alpha=-1) for x, v in zip(X.split(8192, 1), w.split(8192))]
            error = math.hypot(*(float(torch.linalg.vector_norm(r, dtype=torch.float64)) for r in rows))
            worst = max(worst, abs(math.sqrt(sse) / error - 1))
    return worst


def report(payload: dict[str, Any]) -> None:
    """Prints a table of milliseconds."""
    floor = payload["floors_ms"]
    print(
        f"{payload['machine']['gpu'] or payload['device']}: m = {payload['m']}, N = {payload['N']}, {payload['ranks']}"
    )
    print(f"fused kernel: {payload['kernel']}")
    rows = [
        (f"lower bound by bytes ({floor['GB_per_s']:.0f} GB/s)", floor["bytes"]),
        (f"lower bound by operations ({floor['TFLOP_per_s']:.3g} TFLOP/s)", floor["operations"]),
        ("cold", payload["cold_ms"]),
        ("warm", payload["warm_ms"]),
        ("the first call", payload["first_call_ms"]),
        *payload["parts_ms"].items(),
    ]
    print(markdown_table(("", "ms"), [(name, f"{ms:.3g}") for name, ms in rows]))


if __name__ == "__main__":
    main()
