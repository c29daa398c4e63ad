"""Construction of a layer's record from its eigenvalues, or from the reason why it has none."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.marchenko_pastur import bulk_edge, flat_spectrum_reason
from lightning_factorlens.spectra.matrices import Mode, matrix_shape
from lightning_factorlens.spectra.spectral_summary import spectral_summary
from lightning_factorlens.spectra.tails import no_fit

#: Range of the largest value of a weight, between whose bounds float64 holds its eigenvalues with all digits.
VALUE_RANGE = (1e-140, 1e151)


def spectrum_record(
    layer: str, mode: str, shape: tuple[int, ...], eigenvalues: Tensor, fit: PowerLawFit
) -> LayerSpectrum:
    """Computes all quantities of one spectrum.

    Args:
        layer: Name of the module.
        mode: Mode of the spectrum, ``"w1"``, ``"slices"`` or ``"w2"``.
        shape: Shape of the matrix, or of each of the pooled matrices.
        eigenvalues: σ², ascending, on the CPU.
        fit: Their power law.

    Returns:
        The record. A spectrum that is much narrower than that of noise has no α, see `flat_spectrum_reason`. In mode
        ``"w2"`` there is no such test and no bulk edge: the operator repeats its entries, so the spectrum of noise is
        not that of Marchenko and Pastur.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import fit_power_law
        >>> eigenvalues = torch.tensor([1.0, 3.0], dtype=torch.float64)
        >>> spectrum_record("fc", "w1", (2, 2), eigenvalues, fit_power_law(eigenvalues)).lambda_max
        3.0
    """
    if mode != "w2" and math.isfinite(fit.alpha):
        reason = flat_spectrum_reason(eigenvalues, shape)
        if reason:
            fit = no_fit(fit.n, reason)
    lambda_max = float(eigenvalues[-1]) if eigenvalues.numel() else math.nan
    norm, stable_rank, entropy_rank = spectral_summary(eigenvalues)
    log_lambda_max = math.nan
    if 0 < lambda_max < math.inf:
        log_lambda_max = math.log10(lambda_max)
    bulk_eigenvalues = eigenvalues
    if mode == "w2":
        bulk_eigenvalues = eigenvalues[:0]
    bulk = bulk_edge(bulk_eigenvalues, shape)
    return LayerSpectrum(
        layer=layer,
        mode=mode,
        shape=shape,
        eigenvalues=eigenvalues,
        lambda_max=lambda_max,
        fit=fit,
        log_lambda_max=log_lambda_max,
        alpha_weighted=fit.alpha * log_lambda_max,
        spectral_norm=norm,
        stable_rank=stable_rank,
        entropy_rank=entropy_rank,
        mp_edge=bulk.edge,
        spikes=bulk.spikes,
    )


def missing_spectrum(
    layer: str, mode: str, shape: tuple[int, ...], reason: str, has_finite_weight: bool = True
) -> LayerSpectrum:
    """Constructs the record of a layer without a spectrum.

    Args:
        layer: Name of the module.
        mode: Mode of the spectrum.
        shape: Shape of the matrix, if known.
        reason: Why there is no spectrum; the record holds it in ``fit.reason``.
        has_finite_weight: Whether the reason is another one than values that are NaN or infinite.

    Returns:
        A record with no eigenvalues, and NaN for all numbers.

    Example:
        >>> missing_spectrum("fc", "w1", (2, 3), "the weight is on the meta device").lambda_max
        nan
    """
    empty = torch.empty(0, dtype=torch.float64)
    fit = no_fit(0, reason)
    return LayerSpectrum(layer, mode, shape, empty, math.nan, fit, has_finite_weight=has_finite_weight)


def without_spectrum(layer: WeightLayer, mode: Mode, reason: str = "") -> LayerSpectrum | None:
    """The record of a layer of whose weight no spectrum can be computed.

    Args:
        layer: Layer and its weight.
        mode: Mode of the spectrum.
        reason: A reason of the caller, for a weight that is readable.

    Returns:
        The record; None where nothing prevents a spectrum.

    Example:
        >>> without_spectrum(WeightLayer("fc", "Linear", torch.tensor([[torch.nan]])), "w1").has_finite_weight
        False
    """
    weight = layer.weight
    shape = matrix_shape(layer, mode)
    if unreadable := unreadable_reason(weight):
        return missing_spectrum(layer.name, mode, shape, unreadable)
    if nonfinite := nonfinite_reason(weight):
        return missing_spectrum(layer.name, mode, shape, nonfinite, has_finite_weight=False)
    if found := range_reason(weight) or reason:
        return missing_spectrum(layer.name, mode, shape, found)
    return None


def unreadable_reason(weight: Tensor) -> str:
    """Explains why no spectrum can be computed of a weight.

    Args:
        weight: The weight.

    Returns:
        The reason in words; empty when a spectrum can be computed.

    Example:
        >>> import torch
        >>> unreadable_reason(torch.empty(2, 3, device="meta"))
        'the weight is on the meta device and has no values'
    """
    if torch.nn.parameter.is_lazy(weight):
        return "the weight is not initialised yet: run one batch through the model"
    if weight.is_meta:
        return "the weight is on the meta device and has no values"
    if not weight.is_floating_point():
        return f"the weight is {weight.dtype}, not real floating point: dequantise it first if it is a code"
    try:
        weight.new_zeros(1).double()
    except (NotImplementedError, RuntimeError):
        return f"the weight is {weight.dtype}, which PyTorch cannot convert to float64"
    return ""


def nonfinite_reason(weight: Tensor) -> str:
    """Explains that a weight has no spectrum because of NaN or infinite values.

    Args:
        weight: A weight with readable values.

    Returns:
        The reason in words; empty when all values are finite.

    Example:
        >>> nonfinite_reason(torch.tensor([[1.0, torch.nan]]))
        'the weight has 1 value that is NaN or infinite, of 2'
    """
    # A sum is finite only if all terms are. This reads the weight once; counting takes ten times as long.
    values = weight if weight.dtype in (torch.float32, torch.float64) else weight.double()
    if bool(values.sum().isfinite()):
        return ""
    n_bad = int((~values.isfinite()).sum())
    if not n_bad:
        return ""
    if n_bad == 1:
        return f"the weight has 1 value that is NaN or infinite, of {weight.numel()}"
    return f"the weight has {n_bad} values that are NaN or infinite, of {weight.numel()}"


def range_reason(weight: Tensor) -> str:
    """Explains that a weight has no spectrum because the squares of its values leave the range of float64.

    Args:
        weight: A weight with finite values.

    Returns:
        The reason in words; empty when the squares are in range, as those of all narrower dtypes are.

    Example:
        >>> range_reason(torch.tensor([[1e-200, 0.0]], dtype=torch.float64))
        'the largest value of the weight is 1e-200: its square leaves the range of float64'
    """
    if weight.dtype != torch.float64 or not weight.numel():
        return ""
    largest = float(weight.abs().max())
    lowest, highest = VALUE_RANGE
    if largest == 0 or lowest <= largest <= highest:
        return ""
    return f"the largest value of the weight is {largest:.3g}: its square leaves the range of float64"
