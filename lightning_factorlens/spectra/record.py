"""One layer's record out of its eigenvalues, or out of the reason why it has none."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.marchenko_pastur import bulk_edge
from lightning_factorlens.spectra.spectral_summary import spectral_summary


def spectrum_record(
    layer: str, mode: str, shape: tuple[int, ...], eigenvalues: Tensor, fit: PowerLawFit
) -> LayerSpectrum:
    """All numbers of one spectrum.

    Args:
        layer: Name of the module.
        mode: Which matrix the eigenvalues are of.
        shape: Of the matrix, or of each of those that were pooled.
        eigenvalues: σ², ascending, on the CPU.
        fit: Their power law.

    Returns:
        The record. The operator of mode ``"w2"`` repeats its entries, so that noise has another spectrum than
        Marchenko and Pastur's: there is no edge.
    """
    lambda_max = float(eigenvalues[-1]) if eigenvalues.numel() else math.nan
    norm, stable_rank, entropy_rank = spectral_summary(eigenvalues)
    log = math.log10(lambda_max) if 0 < lambda_max < math.inf else math.nan
    bulk = bulk_edge(eigenvalues[:0] if mode == "w2" else eigenvalues, shape)
    return LayerSpectrum(
        layer=layer,
        mode=mode,
        shape=shape,
        eigenvalues=eigenvalues,
        lambda_max=lambda_max,
        fit=fit,
        log_lambda_max=log,
        alpha_weighted=fit.alpha * log,
        spectral_norm=norm,
        stable_rank=stable_rank,
        entropy_rank=entropy_rank,
        mp_edge=bulk.edge,
        spikes=bulk.spikes,
    )


def missing_spectrum(layer: str, mode: str, shape: tuple[int, ...], reason: str) -> LayerSpectrum:
    """The record of a layer without a spectrum; ``fit.reason`` says why."""
    nan = math.nan
    fit = PowerLawFit(alpha=nan, sigma=nan, x_min=nan, ks_distance=nan, n_tail=0, n=0, reason=reason)
    return LayerSpectrum(layer, mode, shape, torch.empty(0, dtype=torch.float64), nan, fit)


def unreadable_reason(weight: Tensor) -> str:
    """Why no spectrum can be taken of ``weight``, in words; empty when one can."""
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
