"""The records that cross rooms: what a thing is and its shape. This file computes nothing.

Letters, as in the papers: N probe images, r rank, X_b a block of features × N (an input channel D_i or a
layer's activations A_j), W_b its non-negative factor (P_i or O_j), F the r × N sample factor all blocks share.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

BlockKind = Literal["input", "activation"]


@dataclass(frozen=True)
class Block:
    """One matrix X_b of the coupled factorisation.

    Attributes:
        name: Stable name, e.g. ``input/0`` or ``features.1``.
        kind: Whether it is an input channel or a layer's activations.
        samples: X_bᵀ as captured, shape (N, features): one probe image a row. float32 or float64.
        shape: Shape of one image's features before flattening, e.g. (H, W) or (C, H, W).
        signed: Whether entries below zero are meant; such a block gets a signed factor (semi-NMF).
        expansion: Features of the layer that each kept column stands for; 1 without a feature budget.
        index: Which of the features of ``shape`` the columns are, ascending; None for all of them.
        ends: Where the columns of each process end, of which ``samples`` holds one's own while ``index`` says all;
            None where ``samples`` is whole.
    """

    name: str
    kind: BlockKind
    samples: Tensor
    shape: tuple[int, ...]
    signed: bool = False
    expansion: float = 1.0
    index: Tensor | None = None
    ends: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Factorization:
    """A coupled factorisation X_b ≈ W_b F at several ranks.

    Attributes:
        ranks: The ranks asked for, ascending.
        F: For each rank the sample factor, shape (r, N), rows of unit norm where no penalty forbids it.
        W: For each rank, for each block, the factor in the block's own units, shape (features, r).
        sse: Σ (X_b − W_b F)², float64, shape (ranks, blocks), unweighted.
        block_names: Names of the blocks, in the order of ``W`` and ``sse``.
        weights: Factor w_b on block b in the objective Σ w_b² ‖X_b − W_b F‖².
        objective: Value of the (penalised) objective at each rank, as a fraction of Σ w_b² ‖X_b‖².
        history: The objective after every pass of the last stage, one list a rank, as it was: a step ahead may rise,
            and is then taken back.
        passes: Passes over the whole problem, the final evaluation included.
        status: What happened and what to do about it, in words.
        shapes: Shape of one image's features, a block; empty where nobody said, and then W has no places.
        index: Which of the features of that shape the rows of W are, a block; None for all of them.
    """

    ranks: tuple[int, ...]
    F: tuple[Tensor, ...]
    W: tuple[tuple[Tensor, ...], ...]
    sse: Tensor
    block_names: tuple[str, ...]
    weights: tuple[float, ...]
    objective: tuple[float, ...]
    history: tuple[tuple[float, ...], ...]
    passes: int
    status: str
    shapes: tuple[tuple[int, ...], ...] = ()
    index: tuple[Tensor | None, ...] = ()


@dataclass(frozen=True)
class RankCurve:
    """Error against rank, under its three names (each a tuple as long as ``ranks``).

    Attributes:
        ranks: Ascending.
        rmse: sqrt(SSE / entries), in the units of the activations.
        rel_error: ‖X − X̂‖ / ‖X‖.
        rel_sq_error: The square of ``rel_error``; the papers' published code calls this "RMSE".
    """

    ranks: tuple[int, ...]
    rmse: tuple[float, ...]
    rel_error: tuple[float, ...]
    rel_sq_error: tuple[float, ...]


@dataclass(frozen=True)
class RequiredRank:
    """rank@τ, the smallest rank whose relative error is at most τ.

    Attributes:
        tau: The relative error asked for.
        rank: Interpolated in log rank; the largest (smallest) rank tried where the curve ends above
            (starts below) τ.
        capped: Whether the curve never came down to τ, so that ``rank`` is only a lower bound.
    """

    tau: float
    rank: float
    capped: bool


@dataclass(frozen=True)
class PowerLawFit:
    """A continuous power law p(x) ∝ x^(−α), x ≥ x_min, fitted to eigenvalues.

    Attributes:
        alpha: Exponent; NaN where there is none to be had, see ``reason``.
        sigma: Standard error (α − 1) / √n_tail.
        x_min: Where the tail begins.
        ks_distance: Kolmogorov–Smirnov distance between the tail and the fit.
        n_tail: Eigenvalues in the tail.
        n: Eigenvalues there were.
        reason: Empty when the fit stands; else why it is missing or weak, in words.
        p_value: Goodness of fit: share of draws from the law that fit it worse than the data do. NaN, as all
            below, until asked for.
        sigma_bootstrap: Standard error that counts the choice of x_min, which ``sigma`` takes as given.
        lognormal_ratio: Vuong's normalised log-likelihood ratio against a lognormal; above 0 for the power law.
        lognormal_p: Chance of such a ratio were both equally good.
        truncated_ratio: The same against a truncated power law, which is never less likely.
        truncated_p: Chance of such a ratio were the truncation not needed.
    """

    alpha: float
    sigma: float
    x_min: float
    ks_distance: float
    n_tail: int
    n: int
    reason: str = ""
    p_value: float = math.nan
    sigma_bootstrap: float = math.nan
    lognormal_ratio: float = math.nan
    lognormal_p: float = math.nan
    truncated_ratio: float = math.nan
    truncated_p: float = math.nan


@dataclass(frozen=True)
class LayerSpectrum:
    """Spectrum of one layer's weight, unfolded as ``mode`` says.

    Attributes:
        layer: Name of the module.
        mode: Which matrix: ``"w1"`` (paper 002), ``"slices"`` (weightwatcher's pooled k² slices) or ``"w2"`` (the
            operator on whole images).
        shape: Shape of the unfolded matrix (of each of its groups or slices).
        eigenvalues: σ² of the matrix, ascending, float64, on the CPU; the groups' or slices' pooled.
        lambda_max: The largest of them; NaN when the layer abstains.
        fit: The power law.
        log_lambda_max: log10 of ``lambda_max``; NaN, as all numbers below, when there is none.
        alpha_weighted: α·log10 λ_max.
        spectral_norm: √λ_max.
        stable_rank: Σλ / λ_max.
        entropy_rank: exp of the entropy of σ / Σσ.
        mp_edge: Where the Marchenko–Pastur bulk ends; noise passes it once in a thousand matrices.
        spikes: Eigenvalues above it; None when there is no edge.
        traps: Eigenvalues outside the bulk of the shuffled weight; None until asked for.
        foreign: What another program said of the layer, under its own names.
    """

    layer: str
    mode: str
    shape: tuple[int, ...]
    eigenvalues: Tensor
    lambda_max: float
    fit: PowerLawFit
    log_lambda_max: float = math.nan
    alpha_weighted: float = math.nan
    spectral_norm: float = math.nan
    stable_rank: float = math.nan
    entropy_rank: float = math.nan
    mp_edge: float = math.nan
    spikes: int | None = None
    traps: int | None = None
    foreign: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class AlphaSummary:
    """The family of α over the layers that have one.

    Attributes:
        mean_alpha: Mean of α over layers.
        alpha_hat: Σ α·log10 λ_max over layers (paper 002, eq. 12).
        mean_alpha_hat: The same as a mean.
        mean_log_lambda_max: Mean of log10 λ_max.
        layers: Layers that entered.
        abstained: Layers without a fit.
    """

    mean_alpha: float
    alpha_hat: float
    mean_alpha_hat: float
    mean_log_lambda_max: float
    layers: int
    abstained: int


@dataclass(frozen=True)
class LayerSimilarity:
    """Which components of the factorisation use the same neurons of a layer.

    Attributes:
        layer: Name of the block.
        rank: Of the factorisation; also the matrix's size.
        cosine: Cosine between the columns of O_j, shape (rank, rank), float64, on the CPU.
        eigenvalues: Its eigenvalues, descending, shape (rank,).
        off_diagonal: Mean of the cosines of distinct components; NaN at rank 1.
        k: Eigenvalues that enter ``first_k``.
        first_k: Mean of the k largest eigenvalues: 1 when no two components share a neuron.
    """

    layer: str
    rank: int
    cosine: Tensor
    eigenvalues: Tensor
    off_diagonal: float
    k: int
    first_k: float


@dataclass(frozen=True)
class LayerChoice:
    """One row of the table of layers: a tensor that a forward pass produced, and what becomes of it.

    Attributes:
        name: Stable name of the call: the module's path, ``-2``, ``-3`` … behind it when one module is
            called again, ``F.relu`` behind the owner's path for a functional call.
        op: Type of the module, or the function's name.
        shape: Shape of one image's output.
        minimum: Smallest value seen.
        kept: Whether the lens factorises it.
        reason: Why, in words.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    minimum: float
    kept: bool
    reason: str


def shown(by: str, *records: Any) -> Any:
    """How a record looks is for ``sinks/views.py`` to say, which is found by name when somebody wants to see one.

    The one arrow that points from the records to the room that shows them: nothing is imported before it is asked for.
    """
    return getattr(importlib.import_module("lightning_factorlens.sinks.views"), by)(*records)


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
        consistency: Label-free cross-entropy of the predictions under small shifts; None without logits.
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
    floors: Mapping[str, RankCurve]
    required_ranks: tuple[RequiredRank, ...]
    effective_rank: Mapping[str, float]
    rms: Mapping[str, float]
    consistency: float | None
    spectra: tuple[LayerSpectrum, ...]
    alpha: AlphaSummary | None
    seconds: Mapping[str, float]
    share: float | None = None
    images: Tensor | None = None
    factorization: Factorization | None = None
    notes: tuple[str, ...] = field(default=())
    similarity: tuple[LayerSimilarity, ...] = ()
    skipped: int | None = None

    def __repr__(self) -> str:
        return str(shown("observation_text", self))

    def _repr_html_(self) -> str:
        return str(shown("observation_html", self))

    def plot(self) -> Any:
        """Error against rank beside the SVD's floor, and how α spreads over the layers.

        Returns:
            A matplotlib ``Figure``. A notebook shows it as it is; elsewhere ``.savefig("look.png")``.
        """
        return shown("plot", self)
