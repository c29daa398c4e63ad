"""The concepts of two networks, or of two checkpoints: which both have, and what one has and the other lacks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.concepts.matching import SAME, ConceptMatches, match_concepts
from lightning_factorlens.concepts.names import name_concepts
from lightning_factorlens.concepts.predictions import PREDICTIONS
from lightning_factorlens.concepts.timeline import shares
from lightning_factorlens.results import Concepts
from lightning_factorlens.results._short_repr import ShortRepr

Names = str | Sequence[Any] | Tensor | Mapping[str, Any] | None


@dataclass(frozen=True, eq=False, repr=False)
class ConceptComparison(ShortRepr):
    """Matched concepts of ``a`` and ``b``.

    Attributes:
        matches: The partner of every concept of ``a``, whatever their cosine.
        pairs: The concepts that both have: (concept of ``a``, concept of ``b``), the most similar first.
        only_a: Concepts of ``a`` that ``b`` lacks, those first of which the least is in ``b``.
        only_b: Concepts of ``b`` that ``a`` lacks.
        explained_a: Share of every concept of ``a`` that is in all concepts of ``b`` together, from 0 to 1, shape (rank
            of a,), float64: a concept that ``b`` lacks and that is nearly 1 here is divided among several of ``b``.
            NaN where the samples differ.
        explained_b: Share of every concept of ``b`` that is in all concepts of ``a`` together, shape (rank of b,).
        names_a: A name for every concept of ``a``; None without one.
        names_b: A name for every concept of ``b``.
        threshold: Cosine from which partners are the same concept.
    """

    matches: ConceptMatches
    pairs: tuple[tuple[int, int], ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    explained_a: Tensor
    explained_b: Tensor
    names_a: tuple[Hashable, ...]
    names_b: tuple[Hashable, ...]
    threshold: float

    def __str__(self) -> str:
        lines = [
            f"concepts in both: {len(self.pairs)} (cosine of {self.matches.by} at least {self.threshold:.2f}), "
            f"in a alone: {len(self.only_a)}, in b alone: {len(self.only_b)}"
        ]
        for k, j in self.pairs:
            cosine = float(self.matches.cosine[k])
            lines.append(f"  a {_named(k, self.names_a)} = b {_named(j, self.names_b)}, cosine {cosine:.2f}")
        for letter, other, alone, names, explained in (
            ("a", "b", self.only_a, self.names_a, self.explained_a),
            ("b", "a", self.only_b, self.names_b, self.explained_b),
        ):
            for k in alone:
                share = float(explained[k])
                text = "" if math.isnan(share) else f", {100 * share:.0f} % of it in all concepts of {other}"
                lines.append(f"  {letter} {_named(k, names)} alone{text}")
        return "\n".join(lines)


def compare_concepts(
    a: Concepts,
    b: Concepts,
    names: Names = PREDICTIONS,
    threshold: float = SAME,
    *,
    class_names: Sequence[str] | None = None,
) -> ConceptComparison:
    """Compares the concepts of two networks or checkpoints; they are matched by `match_concepts`.

    Args:
        a: From `FactorLens.concepts`.
        b: From `FactorLens.concepts`, best of the same probe.
        names: As `name_concepts` takes them; with ``"predictions"``, those of each network's own, and none for
            one without class scores. With several columns, the first one.
        threshold: Cosine from which partners are the same concept.
        class_names: Words for the predicted classes of both, see `name_concepts`.

    Returns:
        The comparison; ``print`` shows it.

    Raises:
        ValueError: As `match_concepts` or `name_concepts` raise it.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> concepts = FactorLens(model).concepts(torch.rand(12, 6), rank=1)
        >>> print(compare_concepts(concepts, concepts))
        concepts in both: 1 (cosine of F at least 0.70), in a alone: 0, in b alone: 0
          a 0 = b 0, cosine 1.00
    """
    matches = match_concepts(a, b)
    pairs = []
    for k in matches.cosine.argsort(descending=True, stable=True).tolist():
        if matches.other[k] >= 0 and matches.cosine[k] >= threshold:
            pairs.append((k, int(matches.other[k])))
    explained_a = torch.full((a.rank,), torch.nan, dtype=torch.float64)
    explained_b = torch.full((b.rank,), torch.nan, dtype=torch.float64)
    if matches.by == "F":
        explained_a = shares(a.F, b.F).sum(1)
        explained_b = shares(b.F, a.F).sum(1)
    return ConceptComparison(
        matches=matches,
        pairs=tuple(pairs),
        only_a=_alone(a, {k for k, _ in pairs}, explained_a),
        only_b=_alone(b, {j for _, j in pairs}, explained_b),
        explained_a=explained_a,
        explained_b=explained_b,
        names_a=_names(a, names, class_names),
        names_b=_names(b, names, class_names),
        threshold=threshold,
    )


def _alone(concepts: Concepts, matched: set[int], explained: Tensor) -> tuple[int, ...]:
    """The concepts without a partner of which something is left, the least explained first."""
    is_left = concepts.F.any(1)
    order = explained.argsort(stable=True).tolist()
    return tuple(k for k in order if k not in matched and bool(is_left[k]))


def _names(concepts: Concepts, names: Names, class_names: Sequence[str] | None) -> tuple[Hashable, ...]:
    if isinstance(names, str) and names == PREDICTIONS and concepts.predictions is None:
        return (None,) * concepts.rank
    columns = name_concepts(concepts, names, class_names=class_names).columns
    return columns[0].names if columns else (None,) * concepts.rank


def _named(concept: int, names: Sequence[Hashable]) -> str:
    name = names[concept]
    return str(concept) if name is None else f"{concept} ({name})"
