"""The images with the strongest signals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.hierarchy.sides import both_sides
from lightning_factorlens.results import Exemplars, Signals


def exemplary_images(
    signals: Signals | Iterable[Signals], count: int = 9, by: Literal["mean", "extremum"] = "mean"
) -> Exemplars:
    """The images with the largest and the smallest signal of every singular vector of a layer.

    Args:
        signals: Signals of a layer; or those of consecutive parts of a data set, one after the other, of which only the
            exemplary images are kept in memory.
        count: Number of images on each side; all where there are fewer.
        by: ``"mean"``: by the mean over positions; ``"extremum"``: by the maximum for the positive side and by the
            minimum for the negative one, which `layer_signals` finds with ``extrema=True``.

    Returns:
        Their positions and signals, those of the full sort. Signals that are NaN come last.

    Raises:
        ValueError: No signals, parts of several layers, or no extrema.

    Example:
        >>> signals = Signals("fc", torch.tensor([[1.0], [3.0], [-2.0], [3.0]]), torch.ones(1), torch.zeros(1))
        >>> found = exemplary_images(signals, count=2)
        >>> found.positive.tolist(), found.negative.tolist()
        ([[1, 3]], [[2, 0]])
    """
    check_int("count", count, 1)
    advice = "pass one of the layers of FactorLens.signals, or an iterator of parts of it"
    if not isinstance(signals, Iterable):
        check_type("signals", signals, Signals, advice)
    parts = [signals] if isinstance(signals, Signals) else signals
    first: Signals | None = None
    largest, smallest = _Largest(count), _Largest(count)
    for part in parts:
        check_type("signals", part, Signals, advice)
        first = first or part
        if part.layer != first.layer or not torch.equal(part.s, first.s):
            raise ValueError(
                f"signals: found parts of the layers {first.layer!r} and {part.layer!r}, or with other weights; pass "
                "the parts of one layer and one state of the model."
            )
        positive, negative = both_sides(part, by, "by")
        largest.add(positive)
        smallest.add(negative)
    if first is None:
        raise ValueError("signals: found no part; pass at least one.")
    return Exemplars(first.layer, first.s, largest.indices.T, smallest.indices.T, largest.values.T, -smallest.values.T)


class _Largest:
    """The largest values of each column and their rows, of which only these are kept.

    Args:
        count: Number of values of each column.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.n_seen = 0
        self.values = torch.empty(0, 0)
        self.indices = torch.empty(0, 0, dtype=torch.int64)

    def add(self, values: Tensor) -> None:
        """Adds rows, shape (n, r)."""
        rows = torch.arange(self.n_seen, self.n_seen + len(values))[:, None].expand(values.shape)
        self.n_seen += len(values)
        if self.values.shape[1]:
            values = torch.cat([self.values, values])
            rows = torch.cat([self.indices, rows])
        # Rows that came earlier are listed first, and a stable sort keeps them before equal ones.
        order = values.nan_to_num(-torch.inf, posinf=torch.inf, neginf=-torch.inf).argsort(
            dim=0, descending=True, stable=True
        )[: self.count]
        self.values = values.gather(0, order)
        self.indices = rows.gather(0, order)
