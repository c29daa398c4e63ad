"""Records of the spectra of weights and of the power laws fitted to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True)
class PowerLawFit:
    """A continuous power law p(x) ∝ x^(−α), x ≥ x_min, fitted to eigenvalues.

    Attributes:
        alpha: Exponent α; NaN where it cannot be fitted, see ``reason``. It is biased upwards: for α = 3, by 20 % on
            samples of 20 eigenvalues, 7 % on 50, 2 % on 200.
        sigma: Standard error of α, (α − 1) / √n_tail.
        x_min: Smallest value of the tail.
        ks_distance: Kolmogorov–Smirnov distance between the tail and the fit.
        n_tail: Number of eigenvalues in the tail.
        n: Number of eigenvalues above the threshold of the fit.
        reason: Empty for a valid fit; otherwise why there is none or why it is weak, in words.
        alpha_corrected: α without that bias: within 3 % from 20 eigenvalues on, if the tail follows a power law. NaN
            for tails of fewer than 4 eigenvalues.
        alpha_low: Lower end of the 95 % interval of α.
        alpha_high: Upper end of the 95 % interval of α.
        p_value: Goodness of fit: the fraction of samples from the law that fit it worse than the data. This and the
            following fields are NaN until ``add_goodness_of_fit`` computes them.
        sigma_bootstrap: Standard error of α that includes the choice of x_min, which ``sigma`` takes as given.
        lognormal_ratio: Vuong's normalized log-likelihood ratio against a lognormal; positive where the power law fits
            better.
        lognormal_p: Probability of a ratio at least as far from 0 if both laws were equally good.
        truncated_ratio: Normalized log-likelihood ratio against a truncated power law, which is never less likely.
        truncated_p: Probability of a ratio at least as far from 0 if no truncation were needed.

    Example:
        >>> fit = PowerLawFit(alpha=3.0, sigma=0.2, x_min=1.0, ks_distance=0.05, n_tail=100, n=150)
        >>> fit.p_value
        nan
    """

    alpha: float
    sigma: float
    x_min: float
    ks_distance: float
    n_tail: int
    n: int
    reason: str = ""
    alpha_corrected: float = math.nan
    alpha_low: float = math.nan
    alpha_high: float = math.nan
    p_value: float = math.nan
    sigma_bootstrap: float = math.nan
    lognormal_ratio: float = math.nan
    lognormal_p: float = math.nan
    truncated_ratio: float = math.nan
    truncated_p: float = math.nan


@dataclass(frozen=True, repr=False)
class LayerSpectrum(Plottable):
    """Spectrum of one layer's weight.

    Attributes:
        layer: Name of the module.
        mode: The matrix that the weight becomes. ``"w1"``: the unfolding of Praggastis, Brown, Marrero, Purvine,
            Shapiro and Wang (2022), "The SVD of convolutional weights". ``"slices"``: the pooled channel slices of
            weightwatcher. ``"w2"``: the operator on whole images.
        shape: Shape of the matrix, or of the matrix of each group or slice.
        eigenvalues: σ² of the matrix, or of all groups or slices, pooled; ascending, float64, on the CPU.
        lambda_max: Largest eigenvalue; NaN for a layer without a spectrum.
        fit: The fitted power law.
        log_lambda_max: log10 of ``lambda_max``. This and the following numbers are NaN where they are not defined.
        alpha_weighted: α·log10 λ_max.
        spectral_norm: √λ_max.
        stable_rank: Σλ / λ_max.
        entropy_rank: exp of the entropy of σ / Σσ.
        mp_edge: Upper edge of the Marchenko–Pastur bulk, which the largest eigenvalue of noise of this shape exceeds
            with probability 1/1,000.
        spikes: Number of eigenvalues above ``mp_edge``; None where there is no edge.
        traps: Number of correlation traps: eigenvalues outside the bulk of the shuffled weight. None until
            ``add_correlation_traps`` computes it.
        external: Results of another program for this layer, under the program's names.
        has_finite_weight: Whether all values of the weight are finite numbers; otherwise there is no spectrum.
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
    has_finite_weight: bool = True

    def __repr__(self) -> str:
        alpha = f"alpha={self.fit.alpha:.4g} ± {self.fit.sigma:.2g}"
        return f"LayerSpectrum({self.layer!r}, mode={self.mode!r}, shape={self.shape}, {alpha})"


@dataclass(frozen=True)
class LayerExponent:
    """What remains of a layer's power-law fit in a condensed record.

    Attributes:
        alpha: Exponent α, see `PowerLawFit`.
        n: Number of eigenvalues above the threshold of the fit.
    """

    alpha: float
    n: int


@dataclass(frozen=True)
class AlphaSummary:
    """Means of power-law exponents over the layers that have one.

    Attributes:
        mean_alpha: Mean of α over layers.
        alpha_hat: Σ α·log10 λ_max over layers: eq. 12 of Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022),
            "The SVD of convolutional weights".
        mean_alpha_hat: Mean of α·log10 λ_max over layers.
        mean_log_lambda_max: Mean of log10 λ_max over layers.
        layers: Number of layers in the means.
        abstained: Number of layers without a fit.
        mean_alpha_corrected: Mean of the corrected α over the layers that have one; NaN where none has.
    """

    mean_alpha: float
    alpha_hat: float
    mean_alpha_hat: float
    mean_log_lambda_max: float
    layers: int
    abstained: int
    mean_alpha_corrected: float = math.nan
