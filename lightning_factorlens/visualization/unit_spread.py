"""Which units of one run recur in another: matched by their filters or by their responses to the same images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_factorlens._validation import check_choice
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results.unit_spread import LayerSpread, UnitSpread
from lightning_factorlens.visualization.node_importance import node_importance
from lightning_factorlens.visualization.weight_pictures import weight_pictures

Compared = Literal["filters", "responses"]


def unit_spread(
    trained: Sequence[nn.Module], untrained: Sequence[nn.Module], probe: Any = None, by: Compared = "filters"
) -> UnitSpread:
    """How alike the units of several runs are, beside those of untrained networks.

    For every pair of runs the units of each layer are assigned one to one such that the sum of their cosines is
    largest. That sum is above zero for random units, too: without the untrained networks beside it says nothing.
    Gulati et al. (2017), section 4: "the variability of feature visualization across training runs".

    Args:
        trained: At least two networks with equal layers, such as those of several seeds.
        untrained: At least two networks with these layers before training.
        probe: Images for ``"responses"``, see `node_importance`.
        by: What is compared: ``"filters"``, the weights, which in a later layer refer to input channels that differ
            from run to run; or ``"responses"``, the largest activations in the images of the probe, minus their mean.

    Returns:
        The cosines of matched units in every layer that all networks have.

    Raises:
        ValueError: Fewer than two networks, no common layer, or ``"responses"`` without a probe.

    Example:
        >>> networks = []
        >>> for seed in range(4):
        ...     _ = torch.manual_seed(seed)
        ...     networks.append(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU()))
        >>> unit_spread(networks[:2], networks[2:])["0"].cosine.shape
        torch.Size([1, 8])
    """
    check_choice("by", by, ("filters", "responses"))
    if isinstance(trained, nn.Module) or isinstance(untrained, nn.Module):
        raise ValueError("trained, untrained: found one network; give a list of at least two, since units are matched.")
    if len(trained) < 2 or len(untrained) < 2:
        raise ValueError(
            f"trained, untrained: found {len(trained)} and {len(untrained)} networks; give at least two of each, since "
            "units are matched between two."
        )
    if by == "responses" and probe is None:
        raise ValueError("probe: found None, but responses are compared on images; pass some, or by='filters'.")
    rows = [_rows(model, probe, by) for model in (*trained, *untrained)]
    names = []
    for name, own in rows[0].items():
        if all(name in other and other[name].shape == own.shape for other in rows):
            names.append(name)
    if not names:
        raise ValueError("trained, untrained: the networks have no layer of equal name and size in common.")
    layers = {}
    for name in names:
        found = _cosines([other[name] for other in rows[: len(trained)]])
        layers[name] = LayerSpread(found, _cosines([other[name] for other in rows[len(trained) :]]))
    return UnitSpread(by, layers)


def _rows(model: nn.Module, probe: Any, by: Compared) -> dict[str, Tensor]:
    """One row for every unit of every layer."""
    rows = {}
    if by == "responses":
        for name, layer in node_importance(model, probe).layers.items():
            rows[name] = (layer.activation - layer.activation.mean(0)).T
    else:
        for linear in linear_layers(model):
            pictures = weight_pictures(model, linear.name).pictures
            if bool(linear.weight.weight.isnan().any()):
                raise ValueError(f"trained, untrained: the weight of {linear.name!r} has NaN; leave that network out.")
            rows[linear.name] = pictures.flatten(1).nan_to_num()
    return rows


def _cosines(rows: Sequence[Tensor]) -> Tensor:
    """Cosines of the matched rows of every pair of networks, shape (pairs, units)."""
    return torch.stack([match_rows(a, b)[1] for a, b in combinations(rows, 2)])
