"""The singular vectors of a layer, by the size of their singular values."""

from __future__ import annotations

from torch import nn

from lightning_factorlens._validation import check_int
from lightning_factorlens.capture.linear_layers import find_linear_layers
from lightning_factorlens.linalg.singular_vectors import singular_vectors
from lightning_factorlens.linalg.unfolding import unfold_weight
from lightning_factorlens.visualization.objectives import SingularVector


def leading_vectors(
    model: nn.Module, layer: str, count: int | None = None, signal: str = "mean"
) -> list[SingularVector]:
    """The singular vectors of a layer with the largest singular values.

    Args:
        model: Any module.
        layer: Name of a convolution or linear layer.
        count: How many; None for all whose singular value is not zero.
        signal: ``"mean"`` over the positions, or ``"max"``.

    Returns:
        The objectives, the largest singular value first; of a convolution with groups, those of all groups together.

    Raises:
        ValueError: The layer has no singular vectors.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> [vector.index for vector in leading_vectors(model, "1", 2)]
        [0, 1]
    """
    check_int("count", count, 1, or_none="all")
    found = find_linear_layers(model)
    by_name = {one.name: one for one in found.layers}
    if layer not in by_name:
        names = ", ".join(map(repr, by_name)) or "no layer at all"
        reason = found.skipped.get(layer, f"the layers that have are {names}")
        raise ValueError(f"layer: {layer!r} has no singular vectors: {reason}.")
    weight = by_name[layer].weight
    vectors = singular_vectors(unfold_weight(weight.weight, groups=weight.groups, transposed=weight.transposed))
    indices = vectors.s.flatten().argsort(descending=True, stable=True)
    live = (vectors.s > vectors.tolerance[:, None]).flatten()
    kept = [index for index in indices.tolist() if bool(live[index])]
    return [SingularVector(layer, index, signal) for index in kept[:count]]
