"""Which concepts are found again: by fits from other seeds and random values, and from other samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_non_negative
from lightning_factorlens.concepts.captured_probe import CapturedProbe
from lightning_factorlens.concepts.late_fit import choose_blocks
from lightning_factorlens.concepts.matching import SAME, match_concepts
from lightning_factorlens.linalg.matching import match_rows
from lightning_factorlens.results import Concepts
from lightning_factorlens.results._short_repr import ShortRepr


@dataclass(frozen=True, eq=False, repr=False)
class ConceptStability(ShortRepr):
    """How well every concept is found again by other fits.

    Attributes:
        concepts: The concepts whose stability this is.
        cosine: For each kind of fit the cosines of the concepts with their partners, shape (fits, rank), float64, see
            `match_concepts`: ``"seeds"`` and ``"random starts"`` by F; ``"halves"`` of the probe, and ``"other probe"``
            where one is given, by W.
        chance: Median cosine of the concepts' rows of F with their best partners among the same rows after a random
            permutation of the samples.
        threshold: A concept survives a kind of fit where the median of its cosines is at least this.
    """

    concepts: Concepts
    cosine: Mapping[str, Tensor]
    chance: float
    threshold: float

    @property
    def medians(self) -> dict[str, Tensor]:
        """Median cosine of each concept for each kind of fit, shape (rank,); of an even number, the mean of both."""
        return {kind: cosine.quantile(0.5, dim=0) for kind, cosine in self.cosine.items()}

    @property
    def lowest(self) -> Tensor:
        """The lowest of the medians of each concept, shape (rank,)."""
        return torch.stack(list(self.medians.values())).amin(0)

    @property
    def survives(self) -> Tensor:
        """Whether each concept survives all kinds of fits, shape (rank,)."""
        return self.lowest >= self.threshold

    def __str__(self) -> str:
        lines = ["concept  " + "  ".join(self.cosine)]
        medians = self.medians
        for k, is_found in enumerate(self.survives.tolist()):
            row = [f"{float(medians[kind][k]):.2f}".rjust(len(kind)) for kind in self.cosine]
            mark = "" if is_found else "  not stable"
            lines.append(f"{k:7}  " + "  ".join(row) + mark)
        lines.append(f"chance {self.chance:.2f}; stable from {self.threshold:.2f}")
        return "\n".join(lines)


def measure_stability(
    probe: CapturedProbe,
    rank: int,
    fit_on: str | Sequence[str] = "late",
    *,
    restarts: int = 5,
    other: CapturedProbe | None = None,
    threshold: float = SAME,
) -> ConceptStability:
    """Fits concepts several times, see `FactorLens.concept_stability`.

    Args:
        probe: The samples after their forward pass.
        rank: Number of concepts.
        fit_on: See `fit_late`.
        restarts: Number of fits with another seed, and number of fits from random values.
        other: Other samples.
        threshold: See `ConceptStability`.

    Raises:
        ValueError: No restarts, fewer than two samples for each concept, or as `fit_late` raises it.
    """
    check_int("restarts", restarts, 1)
    check_non_negative("threshold", threshold)
    n_samples = len(probe.inputs)
    if 2 * rank > n_samples:
        raise ValueError(
            f"rank: {rank} concepts are fitted to each half of the probe as well, which needs {2 * rank} samples, "
            f"found {n_samples}; lower the rank or pass more samples."
        )
    concepts = probe.fit(rank, fit_on)
    chosen = tuple(choose_blocks(probe.blocks, fit_on))
    late = replace(probe, blocks=chosen)  # the other blocks have no influence on F
    seeds = range(probe.seed + 1, probe.seed + 1 + restarts)
    order = torch.randperm(n_samples, generator=torch.Generator().manual_seed(probe.seed))
    fits = {
        "seeds": [late.fit(rank, "all", seed=seed) for seed in seeds],
        "random starts": [late.fit(rank, "all", "random", seed) for seed in seeds],
        "halves": [late.part(half.sort().values).fit(rank, "all") for half in order.chunk(2)],
    }
    if other is not None:
        names = [block.name for block in chosen]
        fits["other probe"] = [replace(other, blocks=tuple(choose_blocks(other.blocks, names))).fit(rank, "all")]
    cosine = {}
    for kind, found in fits.items():
        cosine[kind] = torch.stack([match_concepts(concepts, fit).cosine for fit in found])
    chance = match_rows(concepts.F, concepts.F[:, order])[1].median()
    return ConceptStability(concepts, cosine, float(chance), threshold)
