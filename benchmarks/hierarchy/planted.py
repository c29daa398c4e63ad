"""Networks whose weights and images are built so that known singular vectors serve known classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.hierarchy import Hierarchy, hierarchy, layer_signals, significance

CLASSES = 8
VECTORS = 10
PER_CLASS = 20
#: Signal of a vector for the images of a class that it serves, and the largest one for all others.
SIGNAL = 5.0
NOISE = 0.5
#: Shape of the patches of the planted convolution: channels, height and width.
PATCH = (3, 4, 4)
POSITIONS = 3


@dataclass(frozen=True)
class Planted:
    """A network of one layer, and what its hierarchy must be.

    Attributes:
        model: The network.
        images: Shape (N, …).
        labels: The class of each image, shape (N,).
        sides: The side of each vector that serves each class, 1 or −1, or 0, shape (classes, vectors).
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    sides: Tensor

    @property
    def q(self) -> float:
        """The quantile above which the planted pairs lie: their share of all pairs of a class and a side."""
        return 1 - int((self.sides != 0).sum()) / (2 * self.sides.numel())


def planted_network(kind: str, seed: int) -> Planted:
    """A layer with random singular vectors, which serve random classes, and images that excite them.

    Args:
        kind: ``"convolution"`` or ``"linear"``.
        seed: Seed of the vectors, the classes that they serve, and the noise.

    Returns:
        The network; its planted signals are at least 4.5, all others at most 0.5.
    """
    generator = torch.Generator().manual_seed(seed)
    n_inputs = PATCH[0] * PATCH[1] * PATCH[2]
    U = torch.linalg.qr(torch.randn(VECTORS, VECTORS, generator=generator, dtype=torch.float64))[0]
    V = torch.linalg.qr(torch.randn(n_inputs, VECTORS, generator=generator, dtype=torch.float64))[0]
    s = torch.linspace(3.0, 0.5, VECTORS, dtype=torch.float64)
    sides = torch.randint(-1, 2, (CLASSES, VECTORS), generator=generator)
    sides[:, 0] = 1  # one vector for all classes, so that the order is never empty
    sides[:, 1] = torch.eye(CLASSES, dtype=sides.dtype)[0]
    labels = torch.arange(CLASSES * PER_CLASS) % CLASSES
    n_positions = POSITIONS**2 if kind == "convolution" else 1
    shape = (len(labels), n_positions, VECTORS)
    noise = NOISE * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
    # ⟨v_i, field⟩ is the planted signal over s_i, because the vectors are orthonormal.
    fields = ((SIGNAL * sides[labels].double()[:, None] + noise) / s) @ V.T
    weight = ((U * s) @ V.T).float()
    layer: nn.Module
    if kind == "linear":
        layer = nn.Linear(n_inputs, VECTORS)
        images = fields[:, 0].float()
    else:
        layer = nn.Conv2d(PATCH[0], VECTORS, PATCH[1:], stride=PATCH[1:])
        columns = fields.transpose(1, 2).float()
        size = (POSITIONS * PATCH[1], POSITIONS * PATCH[2])
        images = nn.functional.fold(columns, size, PATCH[1:], stride=PATCH[1:])
    with torch.no_grad():
        layer.weight.copy_(weight.view_as(layer.weight))
    return Planted(nn.Sequential(layer), images, labels, sides)


def found_hierarchy(planted: Planted) -> Hierarchy:
    """What the package finds in a planted network."""
    signals = layer_signals(planted.model, planted.images)["0"]
    return hierarchy(significance(signals, planted.q), planted.labels)


def is_exact(planted: Planted, found: Hierarchy) -> bool:
    """Whether the equivalence classes, their nodes, the order and the depth are the planted ones.

    The sign of a singular vector is arbitrary: a vector whose two sides are exchanged counts as found.
    """
    expected: dict[frozenset[int], set[tuple[int, int]]] = {}
    for vector in range(VECTORS):
        flip = _sign(planted, found, vector)
        for side in (1, -1):
            served = frozenset((planted.sides[:, vector] == side).nonzero()[:, 0].tolist())
            if served:
                expected.setdefault(served, set()).add((vector, side * flip))
    sets = [frozenset(int(found.class_names[index]) for index in each.classes) for each in found.equivalence]
    nodes = [{found.nodes[node] for node in each.nodes} for each in found.equivalence]
    order = {(a, b) for a, general in enumerate(sets) for b, special in enumerate(sets) if special < general}
    return dict(zip(sets, nodes)) == expected and found.order == order and found.depth == _longest_chain(sets)


def _sign(planted: Planted, found: Hierarchy, vector: int) -> int:
    """1 where the sign of the vector that was found is that of the planted one, else −1; from the signals."""
    column = found.significance.nodes.index((vector, 1))
    agreement = found.significance.signals[:, column] * planted.sides[planted.labels, vector]
    return 1 if agreement.sum() >= 0 else -1


def _longest_chain(sets: list[frozenset[int]]) -> int:
    lengths: dict[frozenset[int], int] = {}
    for found in sorted(sets, key=len):
        lengths[found] = 1 + max((lengths[other] for other in lengths if other < found), default=0)
    return max(lengths.values(), default=0)


def measure(data_dir: Path, quick: bool) -> Measured:
    """Plants hierarchies in convolutions and linear layers and looks for them."""
    n_networks = 20 if quick else 200
    rows = []
    figures = []
    payload = {}
    for kind in ("convolution", "linear"):
        exact = 0
        sizes = []
        seconds = 0.0
        for seed in range(n_networks):
            planted = planted_network(kind, seed)
            taken, found = timed(partial(found_hierarchy, planted))
            seconds += taken
            exact += is_exact(planted, found)
            sizes.append(found.sizes)
        n_classes = [found.vector_classes for found in sizes]
        depths = [found.depth for found in sizes]
        rows.append((kind, f"{exact} of {n_networks}", f"{min(n_classes)} to {max(n_classes)}", _span(depths)))
        figures.append(Figure(f"hierarchy_planted_{kind}_exact", exact / n_networks, 1.0))
        payload[kind] = {"networks": n_networks, "exact": exact, "seconds": seconds}
    header = ("layer", "exactly the planted hierarchy", "classes of vectors", "depth")
    text = (
        "## Planted hierarchies\n\n`python -m benchmarks.hierarchy --parts planted`. Layers with random singular "
        f"vectors; each side of the {VECTORS} vectors serves a random choice of {CLASSES} classes, whose images excite "
        "it, with noise. Nodes, classes of vectors, order and depth are compared with the planted ones.\n\n"
        + markdown_table(header, rows)
    )
    return Measured(text, payload, figures)


def _span(numbers: list[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}"
