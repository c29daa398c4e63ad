"""All that one look found, and how it shows itself."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lightning_factorlens.results.curves import RankCurve, RequiredRank
from lightning_factorlens.results.factorization import Factorization
from lightning_factorlens.results.layers import LayerSimilarity
from lightning_factorlens.results.spectra import AlphaSummary, LayerSpectrum


def render(by: str, *records: Any) -> Any:
    """How a record looks is for ``sinks/views.py`` to say, which is found by name when somebody wants to see one.

    The one arrow that points from the records to the room that shows them: nothing is imported before it is asked for.
    """
    return getattr(importlib.import_module("lightning_factorlens.loggers.repr"), by)(*records)


@dataclass(frozen=True, repr=False)
class Observation:
    """All that one look at the model found. Every sink writes this and knows nothing else.

    The keys of ``curves``, ``floors``, ``effective_rank`` and ``rms`` are ``"total"``, ``"inputs"``,
    ``"activations"`` and then the name of every block.

    Attributes:
        epoch: Epochs finished; 0 is the baseline before training.
        step: Where on the loggers' x axis it belongs.
        curves: Errors of the coupled NMF against rank.
        floors: Errors of the truncated SVD at the same ranks, which no factorisation can pass.
        required_ranks: rank@τ of the total curve, one entry a τ.
        effective_rank: exp of the entropy of the singular values (RankMe).
        rms: Root mean square of the entries, without which a raw rmse cannot be read.
        consistency: Cross-entropy of the predictions under small shifts against steady labels, plus how unevenly the
            network answers (`imbalance`), in nats; None without logits or without images.
        spectra: One entry a layer with a weight.
        alpha: Their summary; None when α is off or no layer has a fit.
        seconds: What the look cost, by phase; ``"total"`` is their sum.
        share: That cost as a share of the wall time since the last look; None for the baseline.
        images: The probe images that were factorised, (N, C, H, W) or None.
        factorization: The factors themselves.
        notes: Anything a reader must know to read the numbers.
        similarity: One entry an activation block, by depth: whether components share neurons there.
        skipped: Looks so far that a budget did not pay for; None without a budget.
    """

    epoch: int
    step: int
    curves: Mapping[str, RankCurve]
    svd_curves: Mapping[str, RankCurve]
    required_ranks: tuple[RequiredRank, ...]
    effective_rank: Mapping[str, float]
    rms: Mapping[str, float]
    consistency: float | None
    spectra: tuple[LayerSpectrum, ...]
    alpha: AlphaSummary | None
    seconds: Mapping[str, float]
    overhead: float | None = None
    images: Tensor | None = None
    factorization: Factorization | None = None
    notes: tuple[str, ...] = field(default=())
    similarity: tuple[LayerSimilarity, ...] = ()
    n_skipped: int | None = None

    def __repr__(self) -> str:
        return str(render("observation_text", self))

    def _repr_html_(self) -> str:
        return str(render("observation_html", self))

    def plot(self) -> Any:
        """Error against rank beside the SVD's floor, and how α spreads over the layers.

        Returns:
            A matplotlib ``Figure``. A notebook shows it as it is; elsewhere ``.savefig("look.png")``.
        """
        return render("plot", self)
