"""What the solver's benchmark factorises: a small CNN's activations, a wide one's, planted factors, random sizes.

    from benchmarks.solver_problems import load_problem
    problem = load_problem("mnist")  # .blocks for ours, .X (features × samples) for the peers

A network is trained for a fixed number of steps from a fixed seed on one thread; its weights are cached in the
temporary folder and the activations are computed anew, so that nothing large lies about.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lightning_factorlens.types import Block

RANKS = (1, 2, 4, 8, 16, 32)
SAMPLES = 512
#: Training steps between two snapshots.
STRIDE = 100
REPO = Path(__file__).resolve().parent.parent
CACHE = Path(tempfile.gettempdir()) / "factorlens-benchmarks"


@dataclass(frozen=True)
class Recipe:
    """A network and its training.

    Attributes:
        convolutions: Widths of the 3 × 3 convolutions, each followed by ReLU and 2 × 2 pooling.
        hidden: Width of the hidden layer.
        steps: Training steps of the last snapshot.
    """

    convolutions: tuple[int, ...]
    hidden: int
    steps: int


RECIPES = {"mnist": Recipe((20, 32), 128, 1000), "big": Recipe((80, 128, 128), 256, 300)}


@dataclass(frozen=True)
class Problem:
    """One matrix to factorise, as blocks and as the raw stack.

    Attributes:
        name: ``mnist``, ``big``, ``synth`` or a made-up one.
        source: What it is, in words.
        blocks: For `factorize(..., weighting="raw")`; features that are zero on every sample are dropped.
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
        """Features."""
        return sum(b.samples.shape[1] for b in self.blocks)

    @property
    def N(self) -> int:
        """Samples."""
        return self.blocks[0].samples.shape[0]

    @cached_property
    def digest(self) -> str:
        """Of the values: what is known about this problem is stored under it."""
        found = hashlib.blake2b(digest_size=8)
        for block in self.blocks:
            found.update(np.ascontiguousarray(block.samples.numpy()).data)
        return found.hexdigest()


class CNN(nn.Module):
    """Convolutions with ReLU and pooling, one hidden layer, ten classes; `forward` also returns the activations."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        widths = (1, *recipe.convolutions)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))
        side = 28 // 2 ** len(recipe.convolutions)
        self.hidden = nn.Linear(widths[-1] * side * side, recipe.hidden)
        self.head = nn.Linear(recipe.hidden, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and every ReLU's output."""
        seen = []
        for convolution in self.convolutions:
            seen.append(torch.relu(convolution(x)))
            x = nn.functional.max_pool2d(seen[-1], 2)
        seen.append(torch.relu(self.hidden(x.flatten(1))))
        return self.head(seen[-1]), seen


def default_data_dir() -> Path:
    """``data`` in the repository, or the folder of shared data beside it."""
    beside = REPO.parent / "shared" / "data"
    return beside if (beside / "MNIST" / "raw").exists() else REPO / "data"


@lru_cache(maxsize=2)
def load_images(data_dir: Path) -> tuple[str, Tensor, Tensor, Tensor]:
    """The source's name, training images and labels, probe images: MNIST where it lies, else scikit-learn's digits."""
    if (data_dir / "MNIST" / "raw").exists():
        from torchvision.datasets import MNIST

        train, probe = (MNIST(str(data_dir), train=t, download=False) for t in (True, False))
        first = probe.data[:SAMPLES, None].float() / 255
        return "MNIST", train.data[:, None].float() / 255, train.targets, first
    from sklearn.datasets import load_digits

    print(f"no MNIST under {data_dir}: scikit-learn's digits, enlarged to 28 × 28, stand in for it")
    digits = load_digits()
    small = torch.from_numpy(digits.images).float()[:, None] / 16
    images = nn.functional.interpolate(small, size=(28, 28), mode="bilinear").clamp_(min=0)
    labels = torch.from_numpy(digits.target)
    return "digits", images[SAMPLES:], labels[SAMPLES:], images[:SAMPLES]


def load_problem(name: str, data_dir: Path | None = None, before: int = 0) -> Problem:
    """A problem by name.

    Args:
        name: ``mnist``, ``big`` or ``synth``.
        data_dir: Holds ``MNIST/raw``; `default_data_dir` when left out.
        before: Snapshots earlier than the last, each `STRIDE` training steps.

    Returns:
        The problem.
    """
    if name == "synth":
        return planted(19_728, SAMPLES)
    recipe = RECIPES[name]
    return _snapshot(name, recipe, recipe.steps - before * STRIDE, data_dir or default_data_dir())


def load_snapshots(name: str = "mnist", data_dir: Path | None = None, count: int = 10) -> list[Problem]:
    """``count`` consecutive snapshots of one training run, the last of them `load_problem`'s."""
    return [load_problem(name, data_dir, before) for before in reversed(range(count))]


def planted(m: int, N: int, rank: int = 40, seed: int = 0) -> Problem:
    """Sparse non-negative factors with falling weights, and non-negative noise."""
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


def _snapshot(name: str, recipe: Recipe, step: int, data_dir: Path) -> Problem:
    source, images, labels, probe = load_images(data_dir)
    weights = _train(recipe, source, images, labels)
    model = CNN(recipe)
    model.load_state_dict(weights[step])
    with torch.no_grad():
        seen = model(probe)[1]
    blocks = []
    for i, values in enumerate([probe, *seen]):
        samples = values.flatten(1)
        samples = samples[:, samples.amax(0) > 0].contiguous()
        label, kind = ("input/0", "input") if i == 0 else (f"relu{i}", "activation")
        blocks.append(Block(label, kind, samples, (samples.shape[1],)))  # type: ignore[arg-type]
    what = f"activations of a CNN ({recipe.convolutions}, {recipe.hidden}) after {step} steps on {source}"
    return Problem(name, what, tuple(blocks))


@lru_cache(maxsize=2)
def _train(recipe: Recipe, source: str, images: Tensor, labels: Tensor) -> dict[int, dict[str, Tensor]]:
    """Weights at every `STRIDE` steps, trained once and then read from the cache."""
    key = hashlib.blake2b(repr((recipe, source, len(images), STRIDE, torch.__version__)).encode(), digest_size=8)
    path = CACHE / f"cnn-{key.hexdigest()}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    print(f"training the CNN {recipe} on {source} …", flush=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CNN(recipe)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        kept = {}
        for step in range(1, recipe.steps + 1):
            batch = torch.randint(len(images), (64,))
            loss = nn.functional.cross_entropy(model(images[batch])[0], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % STRIDE == 0:
                kept[step] = {k: v.detach().clone() for k, v in model.state_dict().items()}
    CACHE.mkdir(parents=True, exist_ok=True)
    torch.save(kept, path)
    return kept


def best_known(problem: Problem) -> dict[int, float]:
    """The smallest SSE ever seen for this problem at each rank; empty when nothing is known."""
    path = CACHE / f"best-{problem.digest}.json"
    return {int(r): v for r, v in json.loads(path.read_text()).items()} if path.exists() else {}


def remember_best(problem: Problem, sse: dict[int, float]) -> dict[int, float]:
    """Lowers what is known by ``sse`` where that is smaller; returns the result."""
    known = best_known(problem)
    merged = {r: min(known.get(r, np.inf), sse.get(r, np.inf)) for r in sorted({*known, *sse})}
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / f"best-{problem.digest}.json").write_text(json.dumps(merged))
    return merged
