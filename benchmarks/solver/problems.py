"""The matrices that the benchmarks of the solver factorize: activations of two CNNs, and planted factors of any size.

    from benchmarks.solver.problems import load_problem
    problem = load_problem("mnist")  # .blocks for ours, .X (features × samples) for the peers

Activations are computed from cached weights at every start, so that no large file is stored.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from benchmarks.solver.networks import DATA, RECIPES, SAMPLES, trained
from lightning_factorlens.results import Block

RANKS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Problem:
    """One matrix to factorize, as blocks and as the unweighted stack.

    Attributes:
        name: ``mnist``, ``big``, ``synth`` or another one.
        source: Description.
        blocks: Blocks for `factorize(..., weighting="raw")`; features that are zero on every sample are dropped.
    """

    name: str
    source: str
    blocks: tuple[Block, ...]

    @cached_property
    def X(self) -> np.ndarray:
        """The stack, shape (features, samples), float32, row-major."""
        return np.ascontiguousarray(torch.cat([b.samples for b in self.blocks], 1).T.numpy())

    @cached_property
    def energy(self) -> float:
        """‖X‖²."""
        return float(sum(b.samples.double().square().sum() for b in self.blocks))

    @property
    def m(self) -> int:
        """The number of features."""
        return sum(b.samples.shape[1] for b in self.blocks)

    @property
    def N(self) -> int:
        """The number of samples."""
        return self.blocks[0].samples.shape[0]

    @cached_property
    def digest(self) -> str:
        """A hash of the values, under which known errors of this problem are stored."""
        found = hashlib.blake2b(digest_size=8)
        for block in self.blocks:
            found.update(np.ascontiguousarray(block.samples.numpy()).data)
        return found.hexdigest()


def load_problem(name: str, data_dir: Path = DATA, before: int = 0) -> Problem:
    """A problem by name.

    Args:
        name: ``mnist``, ``big`` or ``synth``.
        data_dir: Folder with ``MNIST/raw``; without it scikit-learn's digits are used instead.
        before: Number of snapshots before the last one, each `STRIDE` training steps.

    Returns:
        The problem.
    """
    return _snapshot(name, data_dir, before) if name in RECIPES else planted(19_728, SAMPLES)


def load_snapshots(name: str = "mnist", data_dir: Path = DATA, count: int = 10) -> list[Problem]:
    """``count`` consecutive snapshots of one training run; the last is that of `load_problem`."""
    return [load_problem(name, data_dir, before) for before in reversed(range(count))]


def planted(m: int, N: int, rank: int = 40, seed: int = 0) -> Problem:
    """A product of sparse non-negative factors with decreasing weights, plus non-negative noise."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.arange(1, rank + 1).float().rsqrt()
    F = torch.rand(rank, N, generator=generator).pow(3) * weights[:, None]
    samples = torch.empty(N, m)
    for a in range(0, m, 65_536):
        b = min(m, a + 65_536)
        W = torch.rand(rank, b - a, generator=generator)
        W = torch.where(torch.rand(W.shape, generator=generator) < 0.3, W, 0)
        clean = F.T @ W
        noise = torch.randn(clean.shape, generator=generator).abs_()
        samples[:, a:b] = clean + 0.3 * clean.std() * noise
    source = f"planted factors of rank {rank} with noise"
    return Problem("synth", source, (Block("planted", "activation", samples, (m,)),))


def _snapshot(name: str, data_dir: Path, before: int) -> Problem:
    description, model, probe = trained(name, data_dir, before)
    with torch.no_grad():
        activations = model(probe)[1]
    blocks = []
    for i, values in enumerate([probe, *activations]):
        samples = values.flatten(1)
        samples = samples[:, samples.amax(0) > 0].contiguous()
        label, kind = ("input/0", "input") if i == 0 else (f"relu{i}", "activation")
        blocks.append(Block(label, kind, samples, (samples.shape[1],)))  # type: ignore[arg-type]
    return Problem(name, f"activations of {description}", tuple(blocks))
