"""Where in the network a concept is: its share of every layer, and the channels of the layer that carry it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.concepts.channels import channel_sums
from lightning_factorlens.concepts.top_images import check_concept
from lightning_factorlens.results import ConceptBlock, Concepts, LayerPanel


def energy_shares(concepts: Concepts) -> Tensor:
    """The share of every concept in the energy of every layer.

    The energy of a layer's reconstruction is a sum over concepts, ‖Σ_k w_k f_k‖² = Σ_k ⟨w_k f_k, W F⟩, of which concept
    k has the k-th term. No term is negative where no factor is.

    Args:
        concepts: From `FactorLens.concepts`.

    Returns:
        Shape (layers, rank), float64; each row has the sum 1, or is NaN for a layer of zeros.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> energy_shares(FactorLens(model).concepts(torch.rand(9, 6), rank=3)).sum(1).round(decimals=6)
        tensor([1.], dtype=torch.float64)
    """
    F = concepts.F.double()
    rows = []
    for block in concepts.layers():
        W = block.W / (float(block.W.abs().max()) or 1.0)
        terms = ((W.T @ W) * (F @ F.T)).sum(1)
        total = terms.sum()
        rows.append(terms / total.where(total > 0, math.nan))
    return torch.stack(rows) if rows else F.new_zeros(0, concepts.rank)


def layer_panels(concepts: Concepts, k: int, count: int = 9) -> tuple[LayerPanel, ...]:
    """A concept in every layer.

    Args:
        concepts: From `FactorLens.concepts`.
        k: Number of the concept, from 0 to rank − 1.
        count: Number of channels of each layer; fewer where the layer has fewer.

    Returns:
        One panel for each layer, by depth. Of equal channels, the one with the smaller number comes first.

    Raises:
        ValueError: Another ``k``, or a ``count`` below 1.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> panel = layer_panels(FactorLens(model).concepts(torch.rand(9, 6), rank=1), k=0, count=3)[0]
        >>> panel.layer, round(panel.share, 6), len(panel.channels)
        ('1', 1.0, 3)
    """
    check_concept(concepts, k)
    check_int("count", count, 1)
    return _panels(concepts, energy_shares(concepts), k, count)


def layer_panels_of_all(concepts: Concepts, count: int) -> list[tuple[LayerPanel, ...]]:
    """`layer_panels` of every concept, with one computation of the shares."""
    shares = energy_shares(concepts)
    return [_panels(concepts, shares, k, count) for k in range(concepts.rank)]


def _panels(concepts: Concepts, shares: Tensor, k: int, count: int) -> tuple[LayerPanel, ...]:
    panels = []
    for block, row in zip(concepts.layers(), shares):
        panels.append(_panel(block, k, count, float(row[k])))
    return tuple(panels)


def _panel(block: ConceptBlock, k: int, count: int, share: float) -> LayerPanel:
    column = block.W[:, k] / (float(block.W[:, k].abs().max()) or 1.0)
    energies, n_captured = channel_sums(column.square(), block.shape, block.kept_features)
    total = energies.sum()
    profile = energies / total.where(total > 0, math.nan)
    order = energies.argsort(descending=True, stable=True)
    strongest = order[n_captured[order] > 0][:count].tolist()
    return LayerPanel(block.name, share, tuple(strongest), tuple(profile[strongest].tolist()), profile)
