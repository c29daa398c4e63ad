"""Concepts through training: how much they move from one epoch to the next, and whether planted splits are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.concepts.cifar import Checkpoint, load_checkpoint, load_cifar, train_checkpoints
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import follow_concepts
from lightning_factorlens.concepts.late_fit import fit_late
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results import Block, Concepts, ConceptTimeline

SAMPLES = 1000
RANKS = (10, 20)
#: Number of planted factors and of samples, neurons of both layers, and the share of noise.
PLANTED_RANK = 8
PLANTED_SAMPLES = 300
NEURONS = (60, 40)
NOISE = 0.1
KINDS = ("split", "merge", "drift", "birth")


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on CIFAR-10 with one training seed, or three, and on planted factors."""
    images = load_cifar(data_dir)
    table = []
    medians: dict[str, list[float]] = {}
    last: dict[int, list[float]] = {}
    for seed in range(1 if quick else 3):
        checkpoints = train_checkpoints(seed, images)
        for rank in RANKS:
            fits = followed_fits(checkpoints, images.test[:SAMPLES], rank)
            timeline = follow_concepts(fits)
            found = [float(np.median(changes.cosine)) for changes in timeline.changes]
            last.setdefault(rank, []).append(found[-1])
            medians[f"seed {seed} rank {rank}"] = found
            steps = [f"{value:.3f}" for value in (found[0], found[len(found) // 2], found[-1])]
            table.append([f"{seed}", f"{rank}", *steps, f"{chance(fits[-2], fits[-1]):.3f}", _counts(timeline)])
    planted = {kind: planted_counts(kind, 20 if quick else 40) for kind in KINDS}
    false = planted["drift"][2] + planted["birth"][2] + planted["merge"][2]
    figures = [
        Figure("timeline_cosine_last_epoch_10", min(last[10]), 0.95),
        Figure("timeline_cosine_last_epoch_20", min(last[20]), 0.95),
        Figure("timeline_planted_splits_found", planted["split"][1] / planted["split"][0], 1.0),
        Figure("timeline_planted_merges_found", planted["merge"][1] / planted["merge"][0], 1.0),
        Figure("timeline_splits_where_none_is_planted", false, 0, at_most=True),
    ]
    return Measured(_text(table, planted), {"medians": medians, "planted": planted}, figures)


def _text(table: list[list[str]], planted: dict[str, tuple[int, int, int, int]]) -> str:
    heads = ["training seed", "rank", "first step", "middle", "last step", "last, chance", "events"]
    rows = [[kind, *map(str, counts)] for kind, counts in planted.items()]
    return (
        "## Through training\n\n`python -m benchmarks.concepts --parts timeline`. Median cosine of every concept with "
        f"the one from which it was started, one epoch apart; {SAMPLES} test images of CIFAR-10; in the last epoch the "
        "learning rate is the smallest. Chance: samples permuted. Events: births, deaths, splits, merges.\n\n"
        + markdown_table(heads, table)
        + f"\n\n{PLANTED_RANK} planted factors in two layers of {NEURONS} neurons with {100 * NOISE:.0f} % noise, "
        "which drift by 10 % an entry, and one more change. Right: exactly the planted split or merge is reported.\n\n"
        + markdown_table(["planted", "cases", "right", "splits reported", "merges reported"], rows)
    )


def followed_fits(checkpoints: list[Checkpoint], probe: Tensor, rank: int) -> list[Concepts]:
    """The concepts at every checkpoint, each started from the last ones."""
    fits: list[Concepts] = []
    for checkpoint in checkpoints:
        lens = FactorLens(load_checkpoint(checkpoint), outputs="classes")
        fits.append(lens.concepts(probe, rank, start=fits[-1] if fits else None))
    return fits


def _counts(timeline: ConceptTimeline) -> str:
    kinds = [event.kind for event in timeline.events()]
    return ", ".join(str(kinds.count(kind)) for kind in ("birth", "death", "split", "merge"))


def chance(a: Concepts, b: Concepts) -> float:
    """Median cosine with the best partners after a permutation of the samples."""
    order = torch.randperm(a.F.shape[1], generator=torch.Generator().manual_seed(0))
    return float(match_rows(a.F, b.F[:, order])[1].median())


def planted_counts(kind: str, n_cases: int) -> tuple[int, int, int, int]:
    """Cases, those in which exactly what was planted is reported, and the splits and merges that are reported."""
    n_right = n_splits = n_merges = 0
    for seed in range(n_cases):
        is_right, splits, merges = planted_case(kind, seed)
        n_right += is_right
        n_splits += splits
        n_merges += merges
    return n_cases, n_right, n_splits, n_merges


def planted_case(kind: str, seed: int) -> tuple[bool, int, int]:
    """Plants one change, fits before and after, and reads the timeline."""
    g = torch.Generator().manual_seed(seed)
    density = 0.3 if seed % 2 else 0.5
    before = sparse(g, density, PLANTED_RANK, PLANTED_SAMPLES)
    after = before * (1 + 0.1 * torch.randn(before.shape, generator=g)).clamp_min(0)
    W = [sparse(g, 0.3, n, PLANTED_RANK) for n in NEURONS]
    moved = [w.clone() for w in W]
    if kind in ("split", "merge"):
        is_first = torch.rand(PLANTED_SAMPLES, generator=g) < 0.35 + 0.3 * torch.rand(1, generator=g)
        after[1] = after[0] * ~is_first
        after[0] *= is_first
        for w in moved:
            w[:, :2] = sparse(g, 0.3, len(w), 2)
    if kind == "birth":
        after[1] = sparse(g, density, PLANTED_SAMPLES)
        for w in moved:
            w[:, 1] = sparse(g, 0.3, len(w))
    first, second = layers(W, before, g), layers(moved, after, g)
    if kind == "merge":
        before, after, first, second = after, before, second, first
    inputs = torch.zeros(PLANTED_SAMPLES, 1)
    a = fit_late(first, PLANTED_RANK, inputs=inputs)
    b = fit_late(second, PLANTED_RANK, inputs=inputs, start=a.F)
    changes = follow_concepts([a, b]).changes[0]
    place_before = match_rows(before, a.F)[0].tolist()
    place_after = match_rows(after, b.F)[0].tolist()
    splits = ((place_before[0], tuple(sorted(place_after[:2]))),) if kind == "split" else ()
    merges = ((place_after[0], tuple(sorted(place_before[:2]))),) if kind == "merge" else ()
    is_right = changes.splits == splits and changes.merges == merges
    return is_right, len(changes.splits), len(changes.merges)


def sparse(g: torch.Generator, density: float, *shape: int) -> Tensor:
    """Random numbers from 0 to 1, of which only some are not zero."""
    return torch.rand(*shape, generator=g) * (torch.rand(*shape, generator=g) < density)


def layers(W: list[Tensor], F: Tensor, g: torch.Generator) -> list[Block]:
    """Activations of these factors with noise."""
    found = []
    for i, w in enumerate(W):
        X = (w @ F).T
        X = X + NOISE * float(X.square().mean().sqrt()) * 3**0.5 * torch.rand(X.shape, generator=g)
        found.append(Block(f"relu{i}", "activation", X.contiguous(), (len(w),)))
    return found
