"""Spectra from float32 eigenvalues, where their errors cannot change what the record says by more than a stated bound.

The power-law fit chooses x_min among all eigenvalues, so that an arbitrarily small error may exchange two tails of
almost equal distance, and α with them. Such a layer, and every other one of which a number may be off by more than its
bound, is to be computed in float64.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.linalg.float32_eigenvalues import (
    MIN_ROWS,
    ApproximateEigenvalues,
    float32_eigenvalues,
)
from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.ks_distance import largest_plausible_tail, smallest_ks
from lightning_factorlens.spectra.marchenko_pastur import flat_spectrum_margin
from lightning_factorlens.spectra.matrices import Mode, matrix_shape, weight_matrices
from lightning_factorlens.spectra.power_law import fit_of_tail
from lightning_factorlens.spectra.record import spectrum_record, unreadable_reason
from lightning_factorlens.spectra.tails import find_tails

#: Largest relative error of every number of a record; of the KS distance, absolute.
TOLERANCE = 1e-4
#: Largest error of α up to 20. Above that it is relative, as that of other numbers.
ALPHA_TOLERANCE = 1e-3
_LARGE_ALPHA = 20.0
#: Eigenvalues are at least this many times their error, so that logarithms change in proportion to it.
_SMALLEST = 10.0
#: A matrix that is closer to a square one has eigenvalues near zero, which float32 does not resolve.
_MIN_ASPECT = 1.1
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def float32_spectrum(layer: WeightLayer, mode: Mode) -> LayerSpectrum | None:
    """Computes the spectrum of a layer from float32 eigenvalues, with the fit of ``fit_power_law``'s defaults.

    Args:
        layer: Layer and its weight.
        mode: ``"w1"``, or ``"slices"`` for a linear layer.

    Returns:
        A record in which α is within 1e-3 up to α = 20 and within 1e-4 of itself above, the KS distance within 1e-4 and
        all other numbers within 1e-4 of themselves; counts are those of float64. An eigenvalue is off by a few 1e-6 of
        the largest one at most. None where this cannot be said, also for NaN, and where float64 takes no longer: for
        short or almost square matrices, float64 weights, and weights that are not on the CPU.

    Example:
        >>> noise = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
        >>> float32_spectrum(WeightLayer("fc", "Linear", noise), "w1").fit.n
        256
        >>> float32_spectrum(WeightLayer("fc", "Linear", 0 * noise), "w1") is None
        True
    """
    weight = layer.weight
    if weight.dtype not in _DTYPES or unreadable_reason(weight) or weight.device.type != "cpu":
        return None
    if mode == "slices" and layer.stride:  # their factor √½ is not a float32 number
        return None
    shape = matrix_shape(layer, mode)
    if min(shape) < MIN_ROWS or max(shape) < _MIN_ASPECT * min(shape):
        return None
    values = []
    error = 0.0
    for matrix in weight_matrices(layer, mode):
        found = float32_eigenvalues(matrix)
        if found is None:
            return None
        values.append(found.values)
        error = max(error, found.error)
    pooled = ApproximateEigenvalues(torch.cat(values).sort().values if len(values) > 1 else values[0], error)
    if not _numbers_are_certain(pooled):
        return None
    fit = certain_fit(pooled)
    if fit is None:
        return None
    record = spectrum_record(layer.name, mode, shape, pooled.values, fit)
    return record if _tests_are_certain(pooled, record) else None


def certain_fit(eigenvalues: ApproximateEigenvalues) -> PowerLawFit | None:
    """The power law of eigenvalues of which each may be off by the same amount.

    An error δ of the eigenvalues changes log(x / x_min) by at most 2δ / x_min, the slope α − 1 by at most (α − 1)²
    times that, and the fitted distribution function, and thus the KS distance, by at most α − 1 times that.

    Args:
        eigenvalues: Eigenvalues that are all larger than ten times their error.

    Returns:
        The fit; None where another tail may have the smallest KS distance, or α may be off by more than its bound.

    Example:
        >>> values = torch.linspace(1, 2, 50, dtype=torch.float64) ** 3
        >>> certain_fit(ApproximateEigenvalues(values, 1e-7)).n, certain_fit(ApproximateEigenvalues(values, 0.01))
        (50, None)
    """
    tails = find_tails(eigenvalues.values)
    if isinstance(tails, PowerLawFit):
        return None
    log_error = 2 * eigenvalues.error / (tails.x - eigenvalues.error)
    slack = tails.slope * log_error
    minimum = smallest_ks(tails.log_x, tails.below, tails.slope, tails.candidates, tails.n, slack)
    best = minimum.tail
    slope = float(tails.slope[best])
    tolerance = ALPHA_TOLERANCE if slope + 1 <= _LARGE_ALPHA else TOLERANCE * slope
    if minimum.n_rivals or slack[best] > TOLERANCE or slope**2 * log_error[best] > tolerance:
        return None
    n_tail = tails.size(best)
    plausible = largest_plausible_tail(tails.log_x, tails.below, tails.slope, tails.candidates, tails.n, n_tail, slack)
    if not plausible.is_certain:
        return None
    return fit_of_tail(tails, minimum, plausible)


def _numbers_are_certain(eigenvalues: ApproximateEigenvalues) -> bool:
    """Whether means over the eigenvalues are within the tolerance, and none may be below the threshold of the fit."""
    x = eigenvalues.values.numpy()
    error = eigenvalues.error
    if not x[0] > _SMALLEST * error:
        return False
    # The edge of the bulk is proportional to the median, which has the largest relative error of the other numbers.
    sigma = np.sqrt(x)
    p = sigma / sigma.sum()
    information = -np.log(p)
    entropy = float(p @ information)
    entropy_error = error / 2 * float(np.abs(information - entropy) @ (1 / sigma)) / float(sigma.sum())
    stable_rank_error = error * (len(x) / float(x.sum()) + 1 / float(x[-1]))
    return max(error / float(x[len(x) // 2]), entropy_error, stable_rank_error) <= TOLERANCE


def _tests_are_certain(eigenvalues: ApproximateEigenvalues, record: LayerSpectrum) -> bool:
    """Whether the number of spikes, and whether the spectrum is flat, are those of the exact eigenvalues."""
    x = eigenvalues.values.numpy()
    relative_error = 2 * eigenvalues.error / float(x[len(x) // 2])
    if abs(flat_spectrum_margin(eigenvalues.values, record.shape)) <= relative_error:
        return False
    if math.isnan(record.mp_edge):
        return True
    nearest = float(np.abs(x - record.mp_edge).min())
    return nearest > eigenvalues.error + relative_error * record.mp_edge
