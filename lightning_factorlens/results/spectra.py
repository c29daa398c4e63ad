"""Spectra of weights and the power laws fitted to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


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
    external: Mapping[str, float | int | str] = field(default_factory=dict)


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
