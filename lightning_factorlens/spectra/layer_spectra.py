"""Spectrum and power-law exponent of every layer's weight, and means of the exponents over layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_factorlens.capture.weights import WeightLayer, weight_layers
from lightning_factorlens.results import AlphaSummary, LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.cache import Key, SpectraCache, weight_fingerprint
from lightning_factorlens.spectra.float32_spectra import float32_spectrum
from lightning_factorlens.spectra.matrices import (
    Mode,
    Sizes,
    input_size,
    operator_eigenvalues,
    pooled_eigenvalues,
    weight_matrices,
)
from lightning_factorlens.spectra.power_law import fit_power_law
from lightning_factorlens.spectra.record import missing_spectrum, spectrum_record, without_spectrum
from lightning_factorlens.spectra.tails import WEAK_BELOW
from lightning_factorlens.spectra.weightwatcher import weightwatcher_spectra

#: A function that fits a power law to the eigenvalues of a layer.
Fitter = Callable[[Tensor], PowerLawFit]
Backend = Literal["factorlens", "weightwatcher"]
#: See `layer_spectra`.
Precision = Literal["mixed", "float64"]

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
    precision: Precision = "mixed",
) -> tuple[LayerSpectrum, ...]:
    """Computes the spectrum of every weight of a model and fits a power law to it.

    Exponents of different modes cannot be compared.

    Args:
        model: The model. It is not changed.
        mode: Which matrix a weight becomes. ``"w1"``: the unfolding W1 of Praggastis, Brown, Marrero, Purvine, Shapiro
            and Wang (2022), "The SVD of convolutional weights", one matrix per group. ``"slices"``: the pooled channel
            slices of weightwatcher 0.7.7. ``"w2"``: the operator on whole images with circular padding, whose size
            grows with the image; it is meant for comparisons. A linear layer has the same matrix in all three modes.
        fit: Function that fits a power law to the eigenvalues of a layer.
        cache: A cache that the caller keeps between calls. A layer whose weight has not changed is not recomputed.
        sizes: Required by ``"w2"``: the number of pixels on each axis of the input of a convolution (the output of a
            transposed one), one value for all layers or a mapping from layer names. A layer without a size has no
            spectrum.
        backend: ``"weightwatcher"`` passes the weights to that package, which uses its own matrices and fit; its
            results are then in ``external`` under its names. ``mode``, ``fit``, ``cache`` and ``sizes`` have no effect
            on it.
        layers: The layers to use, from `weight_layers`; by default all layers of ``model``.
        precision: ``"mixed"``: float32 for matrices of at least 256 rows and columns, where a bound of its errors shows
            that no number changes noticeably (α by at most 1e-3, see `float32_spectrum`), and float64 for all others.
            ``"float64"``: float64 for all, which takes twice the time. Other functions than ``fit_power_law`` as
            ``fit`` always have eigenvalues in float64.

    Returns:
        One record per weight, in the order of ``named_modules()``. Where there is no α, ``fit.reason`` states why.

    Raises:
        ValueError: If ``mode``, ``backend`` or ``precision`` is unknown, or ``sizes`` is missing with ``mode="w2"``.
        ImportError: If ``backend`` is not installed.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3))
        >>> [(spectrum.layer, spectrum.shape, spectrum.fit.n) for spectrum in layer_spectra(model)]
        [('0', (16, 27), 16), ('2', (32, 144), 32)]
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, found {mode!r}")
    if backend not in ("factorlens", "weightwatcher"):
        raise ValueError(f'backend must be "factorlens" or "weightwatcher", found {backend!r}')
    if precision not in ("mixed", "float64"):
        raise ValueError(f'precision must be "mixed" or "float64", found {precision!r}')
    if mode == "w2" and sizes is None:
        raise ValueError('sizes must be given with mode="w2", found None: W2 acts on images of a size, e.g. sizes=32')
    if layers is None:
        layers = weight_layers(model)
    if backend == "weightwatcher":
        return weightwatcher_spectra(layers)
    if cache is None:
        computed = _compute(dict(enumerate(layers)), mode, fit, sizes, precision)
        return tuple(computed[i] for i in range(len(layers)))
    return _compute_changed(layers, mode, fit, sizes, precision, cache)


def _compute_changed(
    layers: Sequence[WeightLayer],
    mode: Mode,
    fit: Fitter,
    sizes: Sizes | None,
    precision: Precision,
    cache: SpectraCache,
) -> tuple[LayerSpectrum, ...]:
    """Takes from the cache what it holds, and computes and stores the rest."""
    keys: list[Key] = []
    known: dict[int, LayerSpectrum] = {}
    changed: dict[int, WeightLayer] = {}
    for i, layer in enumerate(layers):
        size = input_size(layer, sizes) if _is_image_operator(layer, mode) else ()
        key = (fit, size, precision, weight_fingerprint(layer))
        keys.append(key)
        stored = cache.find(layer, mode, key)
        if stored is None:
            changed[i] = layer
        else:
            known[i] = stored
    known |= _compute(changed, mode, fit, sizes, precision)
    for i, layer in enumerate(layers):
        cache.store(layer, mode, keys[i], known[i])
    return tuple(known[i] for i in range(len(layers)))


def _compute(
    layers: dict[int, WeightLayer], mode: Mode, fit: Fitter, sizes: Sizes | None, precision: Precision
) -> dict[int, LayerSpectrum]:
    """Spectra by the index of their layer; in float64, matrices of equal shapes are decomposed together."""
    allows_float32 = precision == "mixed" and fit is fit_power_law
    spectra: dict[int, LayerSpectrum] = {}
    matrices: dict[int, Tensor] = {}
    for i, layer in layers.items():
        is_operator = _is_image_operator(layer, mode)
        # Where this is possible, it has also shown that all values are finite, which is not checked once more.
        found = float32_spectrum(layer, mode) if allows_float32 and not is_operator else None
        if found is None:
            found = without_spectrum(layer, mode)
        if found is not None:
            spectra[i] = found
        elif is_operator:
            spectra[i] = _operator_spectrum(layer, mode, fit, sizes)
        else:
            matrices[i] = weight_matrices(layer, mode)
    for i, eigenvalues in pooled_eigenvalues(matrices):
        shape = tuple(matrices[i].shape[1:])
        spectra[i] = spectrum_record(layers[i].name, mode, shape, eigenvalues, fit(eigenvalues))
    return spectra


def _is_image_operator(layer: WeightLayer, mode: Mode) -> bool:
    is_convolution = bool(layer.stride)
    return mode == "w2" and is_convolution


def _operator_spectrum(layer: WeightLayer, mode: Mode, fit: Fitter, sizes: Sizes | None) -> LayerSpectrum:
    size, reason = input_size(layer, sizes)
    if reason:
        return missing_spectrum(layer.name, mode, (), reason)
    shape, eigenvalues = operator_eigenvalues(layer, size)
    return spectrum_record(layer.name, mode, shape, eigenvalues, fit(eigenvalues))


def alpha_summary(spectra: tuple[LayerSpectrum, ...], *, min_eigenvalues: int = WEAK_BELOW) -> AlphaSummary | None:
    """Means over layers of α, α·log10 λ_max and log10 λ_max.

    Praggastis, Brown, Marrero, Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights", eq. 12, with the
    unnormalized Gram matrix. α̂ grows with λ_max, and λ_max grows during training, so α̂ is not a stopping criterion.

    Args:
        spectra: Spectra from :func:`layer_spectra`, all of one mode.
        min_eigenvalues: Layers with fewer eigenvalues are left out, because their α is noise. When no layer has as
            many, all layers with an α are used.

    Returns:
        The summary, or None when no layer has an α.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.Linear(40, 2))
        >>> summary = alpha_summary(layer_spectra(model))
        >>> summary.layers, summary.abstained
        (1, 1)
    """
    fitted = [s for s in spectra if math.isfinite(s.fit.alpha) and 0 < s.lambda_max < math.inf]
    if not fitted:
        return None
    used = [s for s in fitted if s.fit.n >= min_eigenvalues] or fitted
    alphas = []
    log_lambdas = []
    weighted = []
    for spectrum in used:
        log_lambda_max = math.log10(spectrum.lambda_max)
        alphas.append(spectrum.fit.alpha)
        log_lambdas.append(log_lambda_max)
        weighted.append(spectrum.fit.alpha * log_lambda_max)
    alpha_hat = sum(weighted)
    corrected = [s.fit.alpha_corrected for s in used if math.isfinite(s.fit.alpha_corrected)]
    return AlphaSummary(
        mean_alpha=sum(alphas) / len(used),
        alpha_hat=alpha_hat,
        mean_alpha_hat=alpha_hat / len(used),
        mean_log_lambda_max=sum(log_lambdas) / len(used),
        layers=len(used),
        abstained=len(spectra) - len(fitted),
        mean_alpha_corrected=sum(corrected) / len(corrected) if corrected else math.nan,
    )


def spectrum_cost(layer: WeightLayer) -> float:
    """Estimates the relative cost of a layer's spectrum, by which layers are distributed over processes.

    Args:
        layer: Layer and its weight.

    Returns:
        Number of entries times the shorter side of the matrix.

    Example:
        >>> import torch
        >>> spectrum_cost(WeightLayer("fc", "Linear", torch.zeros(3, 5)))
        45.0
    """
    size = layer.weight.numel()
    if layer.is_stack:
        return float(size * min(layer.weight.shape[1:]))
    rows = max(1, layer.weight.shape[0])
    return float(size * min(rows, size // rows))
