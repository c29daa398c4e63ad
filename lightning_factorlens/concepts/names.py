"""Names of concepts: which classes their images are of. Names are given afterwards and have no influence on a fit."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.concepts.clarity import agreement, clarity, commonest_share
from lightning_factorlens.concepts.groups import ImageGroups, group_images
from lightning_factorlens.concepts.predictions import PREDICTIONS, predicted_values
from lightning_factorlens.concepts.top_images import top_images_of_all
from lightning_factorlens.results import Concepts
from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results._text import align_table

LABELS = "labels"


@dataclass(frozen=True, eq=False, repr=False)
class ColumnNames(ShortRepr):
    """The names of all concepts by one column of values.

    Attributes:
        column: ``"predictions"``, ``"labels"``, or the name of a column of metadata.
        classes: The values that occur; None, for images without one, comes last.
        scores: score(k, c) = Σ F[k, images of class c] / Σ F[k, :], shape (rank, classes), float64. Each row has the
            sum 1; it is NaN for a concept of which nothing is left.
        names: The class with the largest score of each concept, the first one of equal scores. None where there is no
            score, or where most of the concept lies on images without a value.
        purity: Share of the commonest class among the top images, shape (rank,), float64. Images without a value are
            of no class. NaN where there is no score.
        chance: The expected purity of as many images drawn at random, estimated by 2,000 draws from a fixed seed.
    """

    column: str
    classes: tuple[Hashable, ...]
    scores: Tensor
    names: tuple[Hashable, ...]
    purity: Tensor
    chance: float


@dataclass(frozen=True, eq=False, repr=False)
class ConceptNames(ShortRepr):
    """The names of concepts, and what tells without labels which concepts are clear.

    Attributes:
        columns: One entry for each column of values; empty without names.
        clarity: See `clarity`, shape (rank,).
        agreement: See `agreement`, shape (rank,).
        count: Number of top images that enter purity, clarity and agreement.
    """

    columns: tuple[ColumnNames, ...]
    clarity: Tensor
    agreement: Tensor
    count: int

    def __getitem__(self, column: str) -> ColumnNames:
        for found in self.columns:
            if found.column == column:
                return found
        raise KeyError(f"no column {column!r}; there are {[found.column for found in self.columns]}")

    def __str__(self) -> str:
        header = ["concept", "clarity", "agreement"]
        for column in self.columns:
            header += [column.column, "score", "purity"]
        rows = []
        for k in self.clearest():
            row = [str(k), _in_text(self.clarity[k]), _in_text(self.agreement[k])]
            for column in self.columns:
                name = column.names[k]
                row += ["-" if name is None else str(name), _in_text(column.scores[k].max())]
                row.append(_in_text(column.purity[k]))
            rows.append(row)
        lines = align_table(header, rows, right=range(len(header)))
        for column in self.columns:
            lines.append(f"chance of purity by {column.column} {column.chance:.2f}")
        return "\n".join(lines)

    def clearest(self) -> list[int]:
        """The concepts, the clearest first, and those without a clarity last."""
        return self.clarity.nan_to_num(-math.inf).argsort(descending=True, stable=True).tolist()


def _in_text(value: Tensor) -> str:
    return "-" if math.isnan(value) else f"{float(value):.2f}"


def name_concepts(
    concepts: Concepts,
    names: str | Sequence[Any] | Tensor | Mapping[str, Any] | None = PREDICTIONS,
    count: int = 16,
    *,
    class_names: Sequence[str] | None = None,
) -> ConceptNames:
    """Names concepts by the images that belong to them.

    Args:
        concepts: From `FactorLens.concepts`.
        names: ``"predictions"``, the model's own predicted classes; or one label for each image: numbers or words; or
            several columns of such values by name, e.g. a dictionary or a pandas frame of metadata; or None for no
            names. None and NaN are no value.
        count: Number of top images of which the purity is computed; all where the probe has fewer.
        class_names: Words for the classes 0, 1, … of the predictions, in the order of the model's outputs; the numbers
            themselves unless given.

    Returns:
        Scores, names and purities, and the clarity of every concept, which needs no names. ``print`` shows them as a
        table, the clearest concept first.

    Raises:
        ValueError: A model without class scores where predictions are asked for, another number of values than of
            images, a ``count`` below 1, fewer class names than classes, or class names without predictions.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> concepts = FactorLens(model).concepts(torch.rand(4, 6), rank=2)
        >>> found = name_concepts(concepts, ["cat", "dog", "cat", "cat"])["labels"]
        >>> found.classes, found.scores.sum(1).round(decimals=6).tolist()
        (('cat', 'dog'), [1.0, 1.0])
    """
    top = top_images_of_all(concepts, count)
    found = []
    for column, values in _columns(concepts, names, class_names).items():
        groups = group_images(f"names[{column!r}]", values, concepts.F.shape[1])
        found.append(_name_by(concepts, column, groups, top))
    return ConceptNames(tuple(found), clarity(concepts, count), agreement(concepts, count), top.shape[1])


def _columns(concepts: Concepts, names: Any, class_names: Sequence[str] | None) -> Mapping[str, Any]:
    """The columns of values by name."""
    if class_names is not None and not isinstance(names, str):
        raise ValueError(
            f"class_names: they are words for predicted classes, found names of type {type(names).__name__}; leave "
            "`names` out, or give the words themselves as labels."
        )
    if names is None:
        return {}
    if isinstance(names, str):
        if names != PREDICTIONS:
            raise ValueError(f"names: found {names!r}; write 'predictions', or give one label for each image.")
        return {PREDICTIONS: predicted_values("names", concepts, class_names)}
    if hasattr(names, "keys") and not hasattr(names, "tolist"):  # a frame is no Mapping, and a series has keys too
        return {str(column): names[column] for column in names.keys()}  # noqa: SIM118
    return {LABELS: names}


def _name_by(concepts: Concepts, column: str, groups: ImageGroups, top: Tensor) -> ColumnNames:
    F = concepts.F.double()
    F = F / F.amax(1, keepdim=True).clamp_min(torch.finfo(F.dtype).tiny)
    sums = F @ groups.indicator
    totals = sums.sum(1, keepdim=True)
    scores = sums / totals.where(totals > 0, math.nan)
    names: list[Hashable] = []
    for row in scores:
        best = int(row.argmax())  # the first one of equal scores
        names.append(None if math.isnan(float(row[best])) else groups.values[best])
    index = groups.index.clone()
    if groups.values and groups.values[-1] is None:
        index[index == len(groups.values) - 1] = -1
    purity = commonest_share(index[top]).where(totals[:, 0] > 0, math.nan)
    return ColumnNames(column, groups.values, scores, tuple(names), purity, chance_purity(index, top.shape[1]))


def chance_purity(index: Tensor, count: int, draws: int = 2000) -> float:
    """The expected share of the commonest class among images drawn at random without replacement.

    Args:
        index: Class of each image, negative for none, shape (N,).
        count: Number of images in a draw.
        draws: Number of draws, from a fixed seed.

    Example:
        >>> chance_purity(torch.zeros(5, dtype=torch.int64), count=3)
        1.0
    """
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(draws):
        rows.append(index[torch.randperm(len(index), generator=generator)[:count]])
    return float(commonest_share(torch.stack(rows)).mean())
