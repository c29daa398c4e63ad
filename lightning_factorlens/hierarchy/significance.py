"""Which sides of a layer's singular vectors are significant for which images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice, check_type, is_number
from lightning_factorlens.hierarchy.sides import both_sides
from lightning_factorlens.results import Signals
from lightning_factorlens.results._short_repr import ShortRepr

SCOPES = ("layer", "vector")
SIDES = ("both", "one")


@dataclass(frozen=True, eq=False, repr=False)
class Significance(ShortRepr):
    """The nodes of a layer and the images for which they are significant.

    Attributes:
        layer: Name of the layer.
        q: The quantile.
        scope: ``"layer"`` or ``"vector"``, see `significance`.
        sides: ``"both"`` or ``"one"``.
        statistic: ``"mean"`` or ``"extremum"``.
        n_vectors: Number of singular vectors r.
        n_undetermined: Number of them that share their singular value with others, so that they can be rotated.
        nodes: Singular vector and side (1 or −1) of each node: two for each vector with both sides, one otherwise.
        signals: Signal of every image in the direction of every node, shape (N, nodes).
        threshold: What a signal must exceed, shape (nodes,).
        significant: Whether each node is significant for each image, bool, shape (N, nodes).
    """

    layer: str
    q: float
    scope: str
    sides: str
    statistic: str
    n_vectors: int
    n_undetermined: int
    nodes: tuple[tuple[int, int], ...]
    signals: Tensor
    threshold: Tensor
    significant: Tensor

    def rows(self, rows: Tensor) -> Significance:
        """The significance for some images, with the quantile of their signals alone.

        Args:
            rows: Positions of the images, with repetitions if wanted, shape (n,).
        """
        signals = self.signals[rows]
        threshold, significant = _above_quantile(signals, self.q, self.scope, self.n_vectors)
        return replace(self, signals=signals, threshold=threshold, significant=significant)


def significance(
    signals: Signals, q: float = 0.9, scope: str = "layer", sides: str = "both", statistic: str = "mean"
) -> Significance:
    """Which singular vectors are significant for which images (Praggastis et al., 2022, section 5).

    A node is significant for an image where the image's signal is strictly above the q-quantile of the signals: a share
    1 − q of them is, but for ties and one signal. The quantile is the lower of the two signals between which it falls,
    which for "strictly above" makes no difference and is exact.

    The sign of a singular vector is arbitrary. With both sides every vector has two nodes, (i, 1) with the signals and
    (i, −1) with their negatives, and the quantile is that of all of them: a change of sign changes nothing but the
    signs in ``nodes``. The side to which the mean signal points comes first. With one side, as in the paper, the
    result depends on the signs.

    Args:
        signals: The signals of a layer.
        q: The quantile, from 0 to 1; the paper takes 0.5 to 0.95.
        scope: ``"layer"``: one threshold from all images and vectors of the layer, as in the paper, which most vectors
            never reach; ``"vector"``: one for each vector.
        sides: ``"both"`` or ``"one"``.
        statistic: ``"mean"``: the mean of the signals over the positions, as in the paper; ``"extremum"``: the maximum
            for the side 1, and the negative of the minimum for the side −1.

    Returns:
        The significance of every node for every image.

    Raises:
        ValueError: An argument is none of the above, or a signal is not finite.

    Example:
        >>> values = torch.tensor([[3.0, 0.1], [-2.0, 0.2], [1.0, 0.3]])
        >>> signals = Signals("fc", values, torch.ones(2), torch.zeros(2))
        >>> found = significance(signals, q=0.85)
        >>> found.nodes
        ((0, 1), (0, -1), (1, 1), (1, -1))
        >>> found.significant.int().tolist()
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    """
    check_type("signals", signals, Signals, "pass one of the layers of FactorLens.signals")
    if not is_number(q) or not 0 <= q <= 1:
        raise ValueError(f"q: must be a number from 0 to 1, found {q!r}.")
    check_choice("scope", scope, SCOPES)
    check_choice("sides", sides, SIDES)
    plus, minus = both_sides(signals, statistic, "statistic")
    check_finite(signals.layer, plus, minus)
    n_vectors = plus.shape[1]
    if sides == "one":
        nodes = [(vector, 1) for vector in range(n_vectors)]
        of_nodes = plus
    else:
        nodes, of_nodes = _nodes_of_sides(plus, minus)
    threshold, significant = _above_quantile(of_nodes, q, scope, n_vectors)
    undetermined = int((~signals.is_determined).sum())
    return Significance(
        signals.layer,
        q,
        scope,
        sides,
        statistic,
        n_vectors,
        undetermined,
        tuple(nodes),
        of_nodes,
        threshold,
        significant,
    )


def check_finite(layer: str, *signals: Tensor) -> None:
    """Checks that signals are finite.

    Args:
        layer: Name of the layer, for the message.
        *signals: Each of shape (N, r).

    Raises:
        ValueError: A signal is NaN or infinite.
    """
    is_finite = torch.stack([values.isfinite().all(1) for values in signals]).all(0)
    if is_finite.all():
        return
    unusable = (~is_finite).nonzero()[:, 0].tolist()
    raise ValueError(
        f"signals: layer {layer!r} has NaN or infinite signals for {len(unusable)} of {len(is_finite)} images, "
        f"the first is image {unusable[0]}; leave these images out of the probe, and if it is all of them, check the "
        "weights of the model."
    )


def _nodes_of_sides(plus: Tensor, minus: Tensor) -> tuple[list[tuple[int, int]], Tensor]:
    """Two nodes for each vector, in an order that does not depend on the vector's sign, and their signals."""
    n_images, n_vectors = plus.shape
    difference = plus - minus
    direction = plus.sum(0) - minus.sum(0)
    # A mean of exactly 0 has no direction: then the first image decides whose signals differ.
    first = (difference != 0).int().argmax(0, keepdim=True) if n_images else difference.new_zeros(0, n_vectors).long()
    first_difference = difference.gather(0, first).sum(0)
    direction = direction.where(direction != 0, first_difference)
    is_reversed = direction < 0
    leading = torch.where(is_reversed, minus, plus)
    other = torch.where(is_reversed, plus, minus)
    nodes = []
    for vector, reverse in enumerate(is_reversed.tolist()):
        side = -1 if reverse else 1
        nodes += [(vector, side), (vector, -side)]
    return nodes, torch.stack([leading, other], 2).reshape(n_images, 2 * n_vectors)


def _above_quantile(signals: Tensor, q: float, scope: str, n_vectors: int) -> tuple[Tensor, Tensor]:
    """The threshold of every node, and which signals are above it; shapes (nodes,) and (N, nodes)."""
    n_images, n_nodes = signals.shape
    if not signals.numel():
        return signals.new_zeros(n_nodes), torch.zeros(n_images, n_nodes, dtype=torch.bool)
    values = signals.detach().cpu().numpy()
    if scope == "layer":
        threshold = np.full(n_nodes, _lower_quantile(values.reshape(-1, 1), q)[0], values.dtype)
    else:
        n_sides = n_nodes // n_vectors
        pooled = values.reshape(n_images, n_vectors, n_sides).transpose(0, 2, 1).reshape(-1, n_vectors)
        threshold = np.repeat(_lower_quantile(pooled, q), n_sides)
    return torch.from_numpy(threshold), torch.from_numpy(values > threshold)


def _lower_quantile(values: np.ndarray, q: float) -> np.ndarray:
    """The q-quantile of every column, as the lower of the two values between which it falls."""
    position = int(np.floor(q * (len(values) - 1)))
    found: np.ndarray = np.partition(values, position, axis=0)[position]
    return found
