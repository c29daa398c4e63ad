"""Processor seconds of the parts of an observation, for probes and networks of chosen sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.part import timed
from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.factorization import HALS, CoupledProblem, fit
from lightning_factorlens.factorization.evaluate import block_sse
from lightning_factorlens.factorization.schedule import run_schedule
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Block
from lightning_factorlens.spectra import SpectraCache, layer_spectra

#: Columns of the tables, seconds but for the last one.
PARTS = ("cold", "warm", "last pass", "errors", "Gram matrices", "floors", "effective rank", "MiB")
#: Units between two layers, from each of which a layer's features are computed.
TRUNK = 512
#: Change of every weight between the two observations of a warm start, as a fraction of its size.
CHANGE = 0.01
#: Weight of what a layer adds to the units. Without the sum the samples become alike in deep random networks, and the
#: iterations converge so slowly that a warm fit starts anew.
BRANCH = 0.5
#: A call that takes less than this is repeated, and the shortest time counts.
SHORT = 0.2

Result = TypeVar("Result")


def observation_parts(n_samples: int, n_layers: int, features: int, ranks: tuple[int, ...]) -> dict[str, float]:
    """Measures every part of an observation of a random residual network but its forward passes and its spectra.

    Args:
        n_samples: N.
        n_layers: Number of layers that are factorised, besides one input channel of 1,024 values.
        features: Features of each layer.
        ranks: Ranks of the factorisation.

    Returns:
        Processor seconds by the names of `PARTS`. "cold" and "warm" are the iterations, on sampled rows; "last pass"
        fits the factors to all rows; the Gram matrices are part of floors and of the effective rank, and up to 2,047
        samples an observation computes them and their eigenvalues once for both. "MiB" is the size of the capture.
    """
    problem = CoupledProblem(random_layers(n_samples, n_layers, features, change=0.0))
    found = {"MiB": sum(samples.nbytes for samples in problem.samples) / 2**20}
    found["cold"], (_, start) = shortest(lambda: run_schedule(problem, ranks, HALS(), None, 0))
    problem = CoupledProblem(random_layers(n_samples, n_layers, features, change=CHANGE))
    found["warm"], (_, last) = shortest(lambda: run_schedule(problem, ranks, HALS(), start.F, 0))
    groups = last.groups
    found["last pass"], final = shortest(lambda: HALS().finish(problem, groups, last.F, None))
    found["errors"], _ = shortest(lambda: block_sse(problem, groups, final.F, final.W, final.sums))
    curves = BlockGroups(problem).curves(fit(problem, ranks, start=groups.split(last.F)))
    found["Gram matrices"], _ = shortest(lambda: BlockGroups(problem)._spectra._weighted_grams())
    found["floors"], _ = shortest(lambda: BlockGroups(problem).svd_curves(curves))
    found["effective rank"], _ = shortest(lambda: BlockGroups(problem).effective_ranks())
    return found


def spectra_seconds(n_matrices: int, rows: int, columns: int | None = None) -> dict[str, float]:
    """Processor seconds of the spectra of matrices, square unless given, and of finding that they have not changed."""
    columns = columns or rows
    generator = torch.Generator().manual_seed(0)
    layers = []
    for index in range(n_matrices):
        layers.append(WeightLayer(f"layer{index}", "Linear", torch.randn(rows, columns, generator=generator)))
    model = torch.nn.Module()
    seconds, _ = shortest(lambda: layer_spectra(model, layers=layers))
    cache = SpectraCache()
    layer_spectra(model, layers=layers, cache=cache)
    unchanged, _ = shortest(lambda: layer_spectra(model, layers=layers, cache=cache))
    return {"spectra": seconds, "unchanged": unchanged}


class OperationCount(TorchDispatchMode):
    """Counts the operations of torch that compute something while it is entered: those that are no view."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls an operation."""
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def warm_operations(n_layers: int) -> int:
    """Number of operations of a warm fit with its errors and floors, N = 256, ranks to 32."""
    ranks = (1, 2, 4, 8, 16, 32)
    start = fit(CoupledProblem(random_layers(256, n_layers, 512, change=0.0)), ranks).F
    blocks = random_layers(256, n_layers, 512, change=CHANGE)
    with OperationCount() as operations:
        problem = CoupledProblem(blocks)
        groups = BlockGroups(problem)
        groups.svd_curves(groups.curves(fit(problem, ranks, start=start)))
        groups.effective_ranks()
    return operations.count


def random_layers(n_samples: int, n_layers: int, features: int, change: float) -> list[Block]:
    """Activations of a random residual network on smooth random images.

    Args:
        n_samples: N.
        n_layers: Number of layers.
        features: Features of each layer, computed from `TRUNK` units.
        change: How much every weight differs from that of a network with ``change=0``, relative to its size.
    """
    generator = torch.Generator().manual_seed(0)
    changes = torch.Generator().manual_seed(1)

    def weights(rows: int, columns: int) -> Tensor:
        drawn = torch.randn(rows, columns, generator=generator) / math.sqrt(rows)
        if change:
            drawn *= 1 + change * torch.randn(rows, columns, generator=changes)
        return drawn

    coarse = torch.rand(n_samples, 1, 8, 8, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear").flatten(1)
    blocks = [Block("input/0", "input", images, (1024,))]
    trunk = (images - images.mean()) @ weights(images.shape[1], TRUNK)
    trunk = trunk / trunk.std()
    for layer in range(n_layers):
        trunk = trunk + BRANCH * (trunk @ weights(TRUNK, TRUNK)).relu() @ weights(TRUNK, TRUNK)
        trunk = trunk / trunk.std()
        samples = (trunk @ weights(TRUNK, features)).relu()
        blocks.append(Block(f"layer{layer}", "activation", samples, (features,)))
    return blocks


def shortest(call: Callable[[], Result]) -> tuple[float, Result]:
    """Returns the shortest processor time of a call and its result: up to three calls if they are short."""
    seconds, result = timed(call)
    for _ in range(2):
        if seconds < SHORT:
            seconds = min(seconds, timed(call)[0])
    return seconds, result
