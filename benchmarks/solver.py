"""The solver beside its peers: seconds to a good fit, cost of a pass, jitter over training, growth with size.

python benchmarks/solver.py [--quick] [--data-dir DIR] [--prototype DIR] [--seeds 8]

One thread, one process. Processor seconds count; wall seconds stand beside them in the JSON. How a peer is timed is
written in `solver_peers.py`; ours is timed over its whole call at its default settings, final evaluation included.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# One thread, said before the numerical libraries are loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch

from benchmarks.reporting import (
    RESULTS,
    Figure,
    close,
    machine,
    markdown_table,
    median,
    write_json,
    write_section,
)
from benchmarks.solver_peers import Peer, Run, load_prototype, measure, peers
from benchmarks.solver_picture import draw
from benchmarks.solver_problems import (
    RANKS,
    REPO,
    SAMPLES,
    Problem,
    best_known,
    default_data_dir,
    load_problem,
    load_snapshots,
    planted,
    remember_best,
)
from lightning_factorlens.factorization import HALS, factorize
from lightning_factorlens.types import Factorization

#: Allowed excess over the best squared error known.
WITHIN = 0.01
OURS, WARM = "ours, cold", "ours, warm"


def main() -> None:
    """Measures, writes JSON, picture and table, and closes with the figures."""
    args = _arguments()
    torch.set_num_threads(1)
    # Before and after: a busy neighbour would show.
    payload: dict[str, Any] = {"machine": machine(_PACKAGES), "quick": args.quick, "within": WITHIN, "ranks": RANKS}
    payload["problems"], payload["cold"], payload["warm"], payload["passes"] = {}, {}, {}, {}
    for name in args.problems:
        problem = load_problem(name, args.data_dir)
        payload["problems"][name] = {"m": problem.m, "N": problem.N, "source": problem.source}
        say(f"{name}: {problem.m} × {problem.N}, {problem.source}")
        best = reference(problem, args.quick)
        payload["cold"][name] = cold(problem, best, args)
        if name != "synth":
            payload["warm"][name] = warm(problem, load_problem(name, args.data_dir, before=1), best, args)
        payload["passes"][name] = passes(problem, 3 if args.quick else 7)
        lowered = {r: v / best_known(problem)[r] - 1 for r, v in best.items()}
        payload["problems"][name]["best_share"] = {r: v / problem.energy for r, v in best.items()}
        payload["problems"][name]["best_lowered_later_by"] = lowered
    if "mnist" in args.problems:
        payload["jitter"] = jitter(load_snapshots("mnist", args.data_dir))
    say("sweep")
    payload["sweep"] = sweep(args.quick)
    payload["load_average_after"] = machine()["load_average"]
    payload["wall_seconds"] = time.perf_counter() - _BEGAN
    figures = judge(payload)
    write_json("solver", payload, figures)
    draw(payload, RESULTS / "solver.png")
    write_section("solver", report(payload, figures))
    close(figures)


_PACKAGES = ("scikit-learn", "nmf-torch", "torchnmf", "tensorly", "lightning-factorlens")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same ratios from fewer seeds, under ten minutes")
    parser.add_argument("--data-dir", type=Path, default=default_data_dir(), help="holds MNIST/raw")
    parser.add_argument("--prototype", type=Path, default=REPO.parent / "shared" / "prototypes" / "solver")
    parser.add_argument("--seeds", type=int, default=8, help="of ours and, without --quick, of every peer")
    parser.add_argument("--problems", nargs="+", default=["mnist", "big", "synth"], choices=["mnist", "big", "synth"])
    parser.add_argument("--only", nargs="*", default=[""], help="peers whose name holds one of these words")
    return parser.parse_args()


def say(line: str) -> None:
    """Progress and seconds since the start, on standard error."""
    print(f"{time.perf_counter() - _BEGAN:6.0f} s  {line}", file=sys.stderr, flush=True)


_BEGAN = time.perf_counter()


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its processor seconds and its wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def ours(problem: Problem, seed: int = 0, ranks: Sequence[int] = RANKS, **options: Any) -> Factorization:
    """Our solver on the unweighted blocks: the same problem as the peers'."""
    return factorize(problem.blocks, ranks, weighting="raw", seed=seed, **options)


def errors(fit: Factorization) -> dict[int, float]:
    """SSE over all blocks, a rank."""
    return dict(zip(fit.ranks, fit.sse.sum(1).tolist()))


def lowest(problem: Problem, fit: Factorization) -> dict[int, float]:
    """The smaller of the final SSE and the objective on the way: the final W is fitted anew, by a few sweeps."""
    return {r: min(e, o * problem.energy) for (r, e), o in zip(errors(fit).items(), fit.objective)}


def patient(passes: int, tol: float, **options: Any) -> HALS:
    """Our solver with every limit on passes and every tolerance set, whatever its stages."""
    names = [f.name for f in fields(HALS)]
    options |= {name: passes for name in names if name.endswith("passes")}
    options |= {name: tol for name in names if name.endswith("tol")}
    return HALS(**options)


def reference(problem: Problem, quick: bool) -> dict[int, float]:
    """The best squared errors known, from long runs of ours and, unless quick, of scikit-learn; cached."""
    known = best_known(problem)
    if known:
        return known
    say("  reference: long runs")
    for seed in (101, 102):
        fit = ours(problem, seed, solver=patient(100, 1e-6, restarts=6, sample=8192))
        known = remember_best(problem, lowest(problem, fit))
    if not quick and problem.m < 30_000:
        from sklearn.decomposition import NMF

        for rank in RANKS:
            model = NMF(rank, init="nndsvd", tol=1e-6, max_iter=500, random_state=0).fit(problem.X)
            known = remember_best(problem, {rank: float(model.reconstruction_err_) ** 2})
    return known


def cold(problem: Problem, best: dict[int, float], args: argparse.Namespace) -> dict[str, Any]:
    """Every solver from nothing on all ranks, over the seeds.

    Ours runs on every seed. With --quick a peer runs once, and no longer than 1.2 × the best of its library unless it
    is the library's default; the best of every library runs twice. Without, a peer that misses on its first
    two seeds is not tried again.
    """
    runs: dict[str, list[Run]] = {OURS: []}
    ours(problem)  # first calls pay for page faults and lazy imports
    for seed in range(args.seeds):
        runs[OURS].append(_our_run(problem, best, seed))
    runs |= _prototype_runs(problem, best, args)
    every, missing = peers(args.quick)
    every = [p for p in every if any(word in p.name for word in args.only)]
    if problem.name != "mnist" and args.quick:
        inits = ("nndsvd", "nndsvdar") if problem.name == "synth" else ("nndsvd", "nndsvda", "nndsvdar", "random")
        every = [p for p in every if p.name in [f"scikit-learn cd {init}" for init in inits]]
    patience = 60.0 * max(1.0, problem.m / 20_000)
    if args.quick:
        _quick_peers(every, problem, best, patience, runs)
    else:
        for peer in every:
            runs[peer.name] = []
            for seed in range(args.seeds):
                if seed < 2 or any(r.hit for r in runs[peer.name]):
                    runs[peer.name].append(measure(peer, problem, best, WITHIN, seed, patience))
            say(f"  {peer.name}: {[round(r.cpu, 2) if r.hit else '-' for r in runs[peer.name]]}")
    libraries = {p.name: (p.library, p.default) for p in every}
    table = {name: {**summary(r), "runs": [asdict(x) for x in r]} for name, r in runs.items()}
    for name, row in table.items():
        row["library"], row["default"] = libraries.get(name, (name.split(",")[0].split(" ")[0], False))
    return {"solvers": table, "missing": missing}


def _quick_peers(
    every: list[Peer], problem: Problem, best: dict[int, float], patience: float, runs: dict[str, list[Run]]
) -> None:
    fastest: dict[str, float] = {}
    for peer in every:
        budget = 1.2 * fastest.get(peer.library, patience / 6)
        budget = patience * 2 / 3 if peer.default and problem.name == "mnist" else budget
        run = measure(peer, problem, best, WITHIN, 0, budget)
        say(f"  {peer.name}: {run.cpu:.2f} s {'hit' if run.hit else 'missed'} {run.error}")
        runs[peer.name] = [run]
        if run.hit:
            fastest[peer.library] = min(run.cpu, fastest.get(peer.library, math.inf))
    for library in fastest:
        hits = [p for p in every if p.library == library and runs[p.name][0].hit]
        peer = min(hits, key=lambda p: runs[p.name][0].cpu)
        runs[peer.name].append(measure(peer, problem, best, WITHIN, 1, patience))


def _our_run(problem: Problem, best: dict[int, float], seed: int, **options: Any) -> Run:
    fit, cpu, wall = timed(lambda: ours(problem, seed, **options))
    found = errors(fit)
    remember_best(problem, found)
    gaps = {r: found[r] / best[r] - 1 for r in RANKS}
    return Run(cpu, wall, gaps, dict.fromkeys(RANKS, fit.passes), max(gaps.values()) <= WITHIN)


def _prototype_runs(problem: Problem, best: dict[int, float], args: argparse.Namespace) -> dict[str, list[Run]]:
    """The experiment that the solver goes back to, with one start and with three."""
    fast = load_prototype(args.prototype)
    if fast is None:
        return {}
    found: dict[str, list[Run]] = {}
    X = torch.from_numpy(problem.X)
    for restarts, init in ((1, "nndsvd"), (3, "mixed")):
        runs = found[f"prototype, {restarts} start{'s' * (restarts > 1)}"] = []
        for seed in range(3 if args.quick else args.seeds):
            options = {"restarts": restarts, "init": init, "sample": 4096, "s_iter": 150, "s_tol": 1e-4, "full": 3}
            gen = torch.Generator().manual_seed(seed)
            (_, sse, history, _), cpu, wall = timed(partial(fast.fit, X, list(RANKS), gen=gen, **options))
            gaps = {r: float(s) / best[r] - 1 for r, s in zip(RANKS, sse)}
            runs.append(Run(cpu, wall, gaps, dict.fromkeys(RANKS, len(history)), max(gaps.values()) <= WITHIN))
    return found


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Median and spread of the runs that hit, the share that did, and the worst rank's gap where they stopped."""
    hits = [r for r in runs if r.hit]
    cpu = sorted(r.cpu for r in hits)
    return {
        "cpu": median(cpu),
        "cpu_low": cpu[0] if cpu else math.nan,
        "cpu_high": cpu[-1] if cpu else math.nan,
        "wall": median(r.wall for r in hits),
        "hits": len(hits),
        "of": len(runs),
        "worst_gap": median(max(r.gaps.values(), default=math.nan) for r in runs),
        "given_up_after": max((r.cpu for r in runs if not r.hit), default=math.nan),
        "error": next((r.error for r in runs if r.error), ""),
    }


def warm(problem: Problem, before: Problem, best: dict[int, float], args: argparse.Namespace) -> dict[str, Any]:
    """Ours on a snapshot, from its own factors of the snapshot a hundred training steps earlier."""
    runs = []
    for seed in range(args.seeds):
        start = ours(before, seed).F
        runs.append(_our_run(problem, best, seed, start=start))
    found = {**summary(runs), "runs": [asdict(r) for r in runs]}
    say(f"  {WARM}: {found['cpu']:.3f} s, {found['hits']}/{found['of']}, worst gap {found['worst_gap']:.4f}")
    return found


def passes(problem: Problem, repeats: int = 5) -> dict[str, float]:
    """Seconds of one pass over all rows beside its two products, and of six ranks beside the largest alone.

    A pass is the difference between fits of 12 and of 4 passes. The floor is the faster of two layouts of the stack.
    """

    def once(ranks: Sequence[int], n: int) -> tuple[float, int]:
        solver = patient(n, 0.0, restarts=1, sample=0)
        fit, cpu, _ = timed(lambda: ours(problem, ranks=ranks, solver=solver))
        return cpu, fit.passes

    def a_pass(ranks: Sequence[int]) -> float:
        pairs = [(once(ranks, 12), once(ranks, 4)) for _ in range(repeats)]
        return median((a[0] - b[0]) / (a[1] - b[1]) for a, b in pairs)

    stacked = torch.cat([b.samples for b in problem.blocks], 1)
    columns = torch.from_numpy(problem.X)
    floors = {}
    for label, ranks in (("six", RANKS), ("largest", RANKS[-1:])):
        F, W = torch.rand(sum(ranks), problem.N), torch.rand(sum(ranks), problem.m)
        for layout, X in (("rows", stacked), ("columns", columns.T)):
            times = [timed(partial(_two_products, F, W, X))[1] for _ in range(2 * repeats + 1)][1:]
            floors[label, layout] = median(times)
    six, largest = a_pass(RANKS), a_pass(RANKS[-1:])
    cold_six = median(timed(partial(ours, problem, s))[1] for s in range(repeats))
    cold_largest = median(timed(partial(ours, problem, s, RANKS[-1:]))[1] for s in range(repeats))
    floor = min(floors["six", layout] for layout in ("rows", "columns"))
    found = {
        "pass": six,
        "two_products": floor,
        "two_products_as_stored": floors["six", "rows"],
        "pass_over_products": six / floor,
        "pass_largest_alone": largest,
        "two_products_largest": min(floors["largest", layout] for layout in ("rows", "columns")),
        "cold_six": cold_six,
        "cold_largest_alone": cold_largest,
        "six_over_largest_cold": cold_six / cold_largest,
        "six_over_largest_pass": six / largest,
    }
    say(f"  pass {six:.3f} s = {six / floor:.2f} × its products; six over largest {cold_six / cold_largest:.2f} cold")
    return found


def _two_products(F: torch.Tensor, W: torch.Tensor, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F @ X, W @ X.T


def jitter(snapshots: Sequence[Problem]) -> dict[str, Any]:
    """Scatter of the warm rmse around the converged rmse of the same snapshot, a rank.

    The converged chain goes on from the warm fit until it rests at a relative change of 1e-6. The standard deviation
    over the snapshots of warm over converged, minus one, is the jitter, and its mean the bias. ``steps`` is the scatter
    of that excess's steps from snapshot to snapshot, over √2: the same number where every snapshot errs on its own,
    less where the excess drifts slowly. ``around_trend`` is the scatter of log rmse around a parabola through the
    snapshots, which the training itself moves.
    """
    say(f"jitter over {len(snapshots)} snapshots")
    start, rows, converged, seconds = None, [], [], []
    for problem in snapshots:
        fit, cpu, _ = timed(partial(ours, problem, start=start))
        start = fit.F
        accurate = lowest(problem, ours(problem, solver=patient(200, 1e-6, restarts=1, sample=0), start=start))
        scale = problem.m * problem.N
        rows.append([math.sqrt(v / scale) for v in errors(fit).values()])
        converged.append([math.sqrt(v / scale) for v in accurate.values()])
        seconds.append(cpu)
    rmse, truth = np.array(rows), np.array(converged)
    deviation = rmse / truth - 1
    t = np.linspace(-1, 1, len(rows))
    trend = [np.log(c) - np.polyval(np.polyfit(t, np.log(c), 2), t) for c in rmse.T]
    return {
        "rmse": rmse.tolist(),
        "converged": truth.tolist(),
        "jitter": dict(zip(RANKS, deviation.std(0, ddof=1).tolist())),
        "bias": dict(zip(RANKS, deviation.mean(0).tolist())),
        "steps": dict(zip(RANKS, (np.diff(deviation, axis=0).std(0) / math.sqrt(2)).tolist())),
        "around_trend": {r: float(np.std(d, ddof=3)) for r, d in zip(RANKS, trend)},
        "monotone": int((np.diff(rmse, axis=1) <= 0).all(1).sum()),
        "snapshots": len(rows),
        "warm_cpu": median(seconds[1:]),
        "warm_cpu_spread": [min(seconds[1:]), max(seconds[1:])],
        "cold_cpu": seconds[0],
    }


def sweep(quick: bool) -> dict[str, dict[int, float]]:
    """Processor seconds of a cold fit as features, samples and the number of ranks grow, on planted blocks."""
    many = (10_000, 30_000, 100_000) if quick else (10_000, 30_000, 100_000, 300_000, 1_000_000)
    found: dict[str, dict[int, float]] = {"m": {}, "N": {}, "ranks": {}}
    for m in many:
        found["m"][m] = _cold_seconds(planted(m, SAMPLES))
        say(f"  m = {m}: {found['m'][m]:.2f} s")
    for N in (64, 128, 256, 512, 1024, 2048):
        found["N"][N] = _cold_seconds(planted(20_000, N))
        say(f"  N = {N}: {found['N'][N]:.2f} s")
    problem = planted(20_000, SAMPLES)
    for count in (1, 2, 4, 8, 16):
        ranks = sorted({int(r) for r in np.linspace(32 / count, 32, count).round()})
        found["ranks"][len(ranks)] = _cold_seconds(problem, ranks)
        say(f"  {len(ranks)} ranks to 32: {found['ranks'][len(ranks)]:.2f} s")
    return found


def _cold_seconds(problem: Problem, ranks: Sequence[int] = RANKS) -> float:
    """The faster of two cold fits."""
    return min(timed(lambda: ours(problem, ranks=ranks))[1] for _ in range(2))


def fastest(payload: dict[str, Any], problem: str, library: str, default: bool = False) -> tuple[str, float]:
    """The best variant of a library that hits on most seeds (or its default settings), and its seconds.

    A library that never hits counts with the seconds after which it was given up.
    """
    rows = payload["cold"].get(problem, {}).get("solvers", {})
    mine = {n: r for n, r in rows.items() if r["library"] == library and (r["default"] or not default)}
    good = {n: r["cpu"] for n, r in mine.items() if 2 * r["hits"] > r["of"]}
    if not good:
        good = {n: r["given_up_after"] for n, r in mine.items() if not r["error"]}
    return min(good.items(), key=lambda item: item[1]) if good else ("none", math.nan)


def judge(payload: dict[str, Any]) -> list[Figure]:
    """The acceptance figures of the solver, 1 to 3."""
    figures = []

    def our(problem: str, key: str) -> float:
        return payload["cold"].get(problem, {}).get("solvers", {}).get(OURS, {}).get(key, math.nan)

    def over(problem: str, library: str, default: bool = False) -> float:
        return fastest(payload, problem, library, default)[1] / our(problem, "cpu")

    figures.append(Figure("cold_vs_best_sklearn_mnist", over("mnist", "scikit-learn"), 12))
    figures.append(Figure("cold_vs_best_sklearn_big", over("big", "scikit-learn"), 25))
    for library, goal in (("nmf-torch", 10), ("tensorly", 30)):
        key = library.replace("-", "_")
        figures.append(Figure(f"cold_vs_best_{key}_mnist", over("mnist", library), goal))
        figures.append(Figure(f"cold_vs_default_{key}_mnist", over("mnist", library, default=True), goal))
    for problem in ("mnist", "big"):
        figures.append(Figure(f"hit_rate_{problem}", our(problem, "hits") / our(problem, "of"), 7 / 8))
    for problem in ("mnist", "big"):
        row = payload["warm"].get(problem, {})
        best = fastest(payload, problem, "scikit-learn")[1]
        figures.append(Figure(f"warm_vs_best_sklearn_{problem}", best / row.get("cpu", math.nan), 40))
        figures.append(Figure(f"warm_hit_rate_{problem}", row.get("hits", math.nan) / row.get("of", math.nan), 7 / 8))
    for problem in ("mnist", "big"):
        row = payload["passes"].get(problem, {})
        figures.append(Figure(f"pass_over_products_{problem}", row.get("pass_over_products", math.nan), 1.25, True))
        figures.append(Figure(f"six_over_rank32_{problem}", row.get("six_over_largest_cold", math.nan), 1.5, True))
    shaky = payload.get("jitter", {})
    for name, key in (("jitter_percent", "jitter"), ("jitter_of_steps_percent", "steps")):
        worst = 100 * max(shaky[key].values()) if shaky else math.nan
        figures.append(Figure(name, worst, 0.15, True))
    figures.append(Figure("monotone_snapshots", shaky.get("monotone", math.nan), shaky.get("snapshots", 10)))
    return figures


_SHAKES = (
    ("scatter of the excess", "jitter"),
    ("scatter of its steps / √2", "steps"),
    ("mean of the excess", "bias"),
    ("scatter around a parabola", "around_trend"),
)


def report(payload: dict[str, Any], figures: Sequence[Figure]) -> str:
    """The section of benchmarks/README.md."""
    about = payload["machine"]
    names = list(payload["cold"])
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v != "absent")
    peer_rows = []
    for solver in dict.fromkeys(n for p in names for n in payload["cold"][p]["solvers"]):
        peer_rows.append([solver, *(_cell(payload["cold"][p]["solvers"].get(solver)) for p in names)])
    peer_rows.insert(1, [WARM, *(_cell(payload["warm"].get(p)) for p in names)])
    cost = payload["passes"]
    cost_rows = [
        ["one pass over all rows, six ranks", *(f"{cost[p]['pass'] * 1e3:.0f} ms" for p in names)],
        ["… over its two products", *(f"{cost[p]['pass_over_products']:.2f} ×" for p in names)],
        ["six ranks over rank 32 alone, cold", *(f"{cost[p]['six_over_largest_cold']:.2f} ×" for p in names)],
        ["… a pass", *(f"{cost[p]['six_over_largest_pass']:.2f} ×" for p in names)],
    ]
    problems = "; ".join(f"**{p}** {v['m']:,} × {v['N']}, {v['source']}" for p, v in payload["problems"].items())
    parts = [
        "## The solver" + (" (quick run)" if payload["quick"] else ""),
        f"`python benchmarks/solver.py{' --quick' * payload['quick']}`, {about['date'][:10]}, one thread of "
        f"{about['processor']}, {versions}. {problems}.",
        f"Processor seconds until all of the ranks {', '.join(map(str, RANKS))} are within {WITHIN:.0%} of the best "
        "squared error known: median (lowest to highest; seeds that got there / tried; excess at the worst rank). "
        "A peer pays for its start and its iterations up to that point, not for a stopping rule; ours for the whole "
        "call. `>`: given up after so long.",
        markdown_table(["", *names], peer_rows),
        markdown_table(["cost", *names], cost_rows),
    ]
    if "jitter" in payload:
        shaky = payload["jitter"]
        rows = [[label, *(f"{100 * shaky[key][r]:.3f} %" for r in RANKS)] for label, key in _SHAKES]
        parts.append(
            f"Warm rmse over {shaky['snapshots']} snapshots of training, {shaky['monotone']} of them monotone in the "
            "rank: its excess over the converged value of the same snapshot; last, the scatter of log rmse around a "
            "parabola over the snapshots, which the training itself moves."
        )
        parts.append(markdown_table(["rank", *map(str, RANKS)], rows))
    parts.append("![Seconds to a good fit by solver; growth with size; jitter by rank](results/solver.png)")
    parts.append("```\n" + "\n".join(map(str, figures)) + "\n```")
    return "\n\n".join(parts)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["error"]:
        return "fails"
    share = f"{row['hits']}/{row['of']}, {100 * row['worst_gap']:+.2f} %"
    if not row["hits"]:
        return f"> {row['given_up_after']:.0f} s ({share})"
    return f"{row['cpu']:.2f} s ({row['cpu_low']:.2f} to {row['cpu_high']:.2f}; {share})"


if __name__ == "__main__":
    main()
