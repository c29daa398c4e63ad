"""Spectrum and power-law exponent of every layer's weight, and the α family of paper 002."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.weights import WeightLayer, weight_layers
from lightning_factorlens.results import AlphaSummary, LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.cache import Key, SpectraCache, weight_fingerprint
from lightning_factorlens.spectra.matrices import (
    Mode,
    Sizes,
    input_size,
    matrices,
    matrix_shape,
    operator_eigenvalues,
    pooled_eigenvalues,
)
from lightning_factorlens.spectra.power_law import WEAK_BELOW, fit_power_law
from lightning_factorlens.spectra.record import missing_spectrum, spectrum_record, unreadable_reason
from lightning_factorlens.spectra.weightwatcher import weightwatcher_spectra

Fitter = Callable[[Tensor], PowerLawFit]
Backend = Literal["factorlens", "weightwatcher"]

_MODES = ("w1", "slices", "w2")


@torch.no_grad()
def layer_spectra(
    model: nn.Module,
    *,
    mode: Mode = "w1",
    fit: Fitter = fit_power_law,
    cache: SpectraCache | None = None,
    sizes: Sizes | None = None,
    backend: Backend = "factorlens",
    layers: Sequence[WeightLayer] | None = None,
) -> tuple[LayerSpectrum, ...]:
    """The spectrum of every weight of the model. α of one mode says nothing about α of another.

    Args:
        model: Left as found.
        mode: ``"w1"``, the unfolding of paper 002 with one matrix a group; ``"slices"``, the pooled channel slices
            of weightwatcher 0.7.7; or ``"w2"``, the operator on whole images with circular padding, which grows
            with the image and is for comparison. A linear layer is one and the same matrix in all three.
        fit: What makes a power law of a layer's eigenvalues.
        cache: Kept by the caller from look to look; a layer whose weight has not changed is not computed again.
        sizes: For ``"w2"``: pixels on each axis of what enters a convolution (of what leaves a transposed one), one
            number for all or by layer name. A layer without one abstains.
        backend: ``"weightwatcher"`` hands the weights to that package, which brings its own matrices and fit; its
            numbers then stand under its own names in ``foreign``. The arguments between do not touch it.
        layers: Some of `weight_layers(model)`; all unless given.

    Returns:
        One entry a weight, in the order of ``named_modules()``; where there is no α, ``fit.reason`` says why.

    Raises:
        ValueError: If ``mode`` or ``backend`` is none of its words, or ``"w2"`` comes without ``sizes``.
        ImportError: If ``backend`` is not installed.
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, found {mode!r}")
    if backend not in ("factorlens", "weightwatcher"):
        raise ValueError(f'backend must be "factorlens" or "weightwatcher", found {backend!r}')
    if mode == "w2" and sizes is None:
        raise ValueError('sizes must be given with mode="w2", found None: W2 acts on images of a size, e.g. sizes=32')
    layers = weight_layers(model) if layers is None else layers
    if backend == "weightwatcher":
        return weightwatcher_spectra(layers)
    keys: list[Key] = [(fit, _size(layer, mode, sizes), weight_fingerprint(layer)) if cache else () for layer in layers]
    known = [cache.find(layer, mode, key) if cache else None for layer, key in zip(layers, keys)]
    computed = _spectra({i: layer for i, layer in enumerate(layers) if known[i] is None}, mode, fit, sizes)
    spectra = tuple(known[i] or computed[i] for i in range(len(layers)))
    if cache:
        for layer, key, spectrum in zip(layers, keys, spectra):
            cache.store(layer, mode, key, spectrum)
    return spectra


def alpha_summary(spectra: tuple[LayerSpectrum, ...], *, min_eigenvalues: int = WEAK_BELOW) -> AlphaSummary | None:
    """Means over layers of α, α·log10 λ_max and log10 λ_max (paper 002, eq. 12, unnormalised Gram matrix).

    α̂ grows with λ_max, and within one run λ_max grows: a curve to look at, no signal to stop by.

    Args:
        spectra: As :func:`layer_spectra` gives them, all of one mode.
        min_eigenvalues: Layers with fewer stay out, their α being noise; unless no layer has as many, when
            all that have an α enter.

    Returns:
        The summary, or None when no layer has an α.
    """
    fitted = [s for s in spectra if math.isfinite(s.fit.alpha) and 0 < s.lambda_max < math.inf]
    if not fitted:
        return None
    entering = [s for s in fitted if s.fit.n >= min_eigenvalues] or fitted
    alphas = [s.fit.alpha for s in entering]
    logs = [math.log10(s.lambda_max) for s in entering]
    alpha_hat = sum(alpha * log for alpha, log in zip(alphas, logs))
    return AlphaSummary(
        mean_alpha=sum(alphas) / len(entering),
        alpha_hat=alpha_hat,
        mean_alpha_hat=alpha_hat / len(entering),
        mean_log_lambda_max=sum(logs) / len(entering),
        layers=len(entering),
        abstained=len(spectra) - len(fitted),
    )


def spectrum_cost(layer: WeightLayer) -> float:
    """About how much work a layer's spectrum is, to share the layers out: its entries times its shorter side."""
    size, rows = layer.weight.numel(), max(1, layer.weight.shape[0])
    return float(size * min(rows, size // rows))


def _spectra(layers: dict[int, WeightLayer], mode: Mode, fit: Fitter, sizes: Sizes | None) -> dict[int, LayerSpectrum]:
    spectra: dict[int, LayerSpectrum] = {}
    plain: dict[int, Tensor] = {}
    for i, layer in layers.items():
        if reason := unreadable_reason(layer.weight):
            spectra[i] = missing_spectrum(layer.name, mode, matrix_shape(layer, mode), reason)
        elif mode == "w2" and layer.stride:
            size, reason = input_size(layer, sizes)
            if reason:
                spectra[i] = missing_spectrum(layer.name, mode, (), reason)
                continue
            shape, eigenvalues = operator_eigenvalues(layer, size)
            spectra[i] = spectrum_record(layer.name, mode, shape, eigenvalues, fit(eigenvalues))
        else:
            plain[i] = matrices(layer, mode)
    for i, eigenvalues in pooled_eigenvalues(plain):
        shape = tuple(plain[i].shape[1:])
        spectra[i] = spectrum_record(layers[i].name, mode, shape, eigenvalues, fit(eigenvalues))
    return spectra


def _size(layer: WeightLayer, mode: Mode, sizes: Sizes | None) -> object:
    return input_size(layer, sizes) if mode == "w2" and layer.stride else ()
