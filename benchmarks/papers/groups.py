"""Figures 2(a) and 2(b): are the groups' curves in the paper's order, and do they distinguish good networks?

"Better trained networks tend to have a coupled factorization of higher rank than poorly trained ones."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.papers.curves import quantities
from benchmarks.papers.networks import CONTROLS
from benchmarks.papers.statistics import Estimate, ordering, seed_weights

Net = Mapping[str, Any]


def summary(nets: Sequence[Net]) -> dict[str, Any]:
    """Tests whether areas and ranks are in the paper's order.

    Returns:
        By definition or rank: ``order`` (τ with the number of classes or images), ``means`` (the groups, lowest
        first), ``rising`` (whether that is the paper's order), ``accuracy`` and ``with_controls`` (τ with the accuracy,
        without and with the controls), ``values`` (means of groups and controls), ``best`` (the most accurate group).
    """
    found = quantities(nets)
    return {name: _order([{**n, "value": v} for n, v in zip(nets, values)]) for name, values in found.items()}


def _order(nets: Sequence[Net]) -> dict[str, Any]:
    def tau(of: Sequence[Net], by: str) -> Estimate:
        return ordering([n[by] for n in of], [n["value"] for n in of], seed_weights([n["seed"] for n in of]))

    trained = [n for n in nets if n["group"] not in CONTROLS]
    groups = list(dict.fromkeys(n["group"] for n in trained))
    values = {g: float(np.mean([n["value"] for n in nets if n["group"] == g])) for g in (*groups, *CONTROLS)}
    accuracies = {g: float(np.mean([n["accuracy"] for n in trained if n["group"] == g])) for g in groups}
    means = sorted(groups, key=values.__getitem__)
    return {
        "order": tau(trained, "level"),
        "means": means,
        "rising": means == groups,
        "accuracy": tau(trained, "accuracy"),
        "with_controls": tau(nets, "accuracy"),
        "values": values,
        "best": max(groups, key=accuracies.__getitem__),
    }
