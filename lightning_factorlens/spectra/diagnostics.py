"""Additional tests of fitted spectra, which take longer than the fit: goodness of fit and correlation traps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from lightning_factorlens.capture.weights import WeightLayer, weight_layers
from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.correlation_traps import correlation_traps
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import Fitter
from lightning_factorlens.spectra.likelihood_ratio import compare_power_law
from lightning_factorlens.spectra.matrices import weight_matrices
from lightning_factorlens.spectra.power_law import fit_power_law
from lightning_factorlens.spectra.record import unreadable_reason


def add_goodness_of_fit(
    spectra: Sequence[LayerSpectrum], *, draws: int = 1000, seed: int = 0, fit: Fitter = fit_power_law
) -> tuple[LayerSpectrum, ...]:
    """Adds goodness of fit, bootstrap standard error and two likelihood-ratio tests to every fit.

    Args:
        spectra: Spectra from ``layer_spectra``.
        draws: Bootstrap samples, each of which is fitted. 512 eigenvalues and 1,000 samples take about a second.
        seed: Seed of the bootstrap.
        fit: The function that fitted the spectra, with the same options.

    Returns:
        The records with ``p_value``, ``sigma_bootstrap``, ``lognormal_ratio``, ``lognormal_p``, ``truncated_ratio``
        and ``truncated_p`` of their fits filled in; NaN where there is no α.

    Raises:
        ValueError: If ``draws`` is below 1, or a spectrum has an α but no eigenvalues, as those of weightwatcher.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> generator = torch.manual_seed(0)
        >>> (spectrum,) = add_goodness_of_fit(layer_spectra(torch.nn.Linear(60, 40)), draws=20)
        >>> 0 <= spectrum.fit.p_value <= 1
        True
    """
    return tuple(_add_to_spectrum(spectrum, draws, seed, fit) for spectrum in spectra)


def _add_to_spectrum(spectrum: LayerSpectrum, draws: int, seed: int, fit: Fitter) -> LayerSpectrum:
    law = spectrum.fit
    eigenvalues = spectrum.eigenvalues
    if law.n_tail and not eigenvalues.numel():
        raise ValueError(
            f"spectra must hold their eigenvalues, found none for layer {spectrum.layer!r}: "
            'compute them with backend="factorlens", since weightwatcher does not return them'
        )
    goodness = goodness_of_fit(eigenvalues, law, draws=draws, seed=seed, refit=fit)
    lognormal = compare_power_law(eigenvalues, law, "lognormal")
    truncated = compare_power_law(eigenvalues, law, "truncated_power_law")
    tested = replace(
        law,
        p_value=goodness.p_value,
        sigma_bootstrap=goodness.sigma,
        lognormal_ratio=lognormal.normalized,
        lognormal_p=lognormal.p_value,
        truncated_ratio=truncated.normalized,
        truncated_p=truncated.p_value,
    )
    return replace(spectrum, fit=tested)


def add_correlation_traps(
    spectra: Sequence[LayerSpectrum], model: nn.Module, *, seed: int = 0
) -> tuple[LayerSpectrum, ...]:
    """Adds the number of correlation traps to every spectrum with a positive, finite largest eigenvalue.

    Args:
        spectra: Spectra of ``model`` in mode ``"slices"``, which weightwatcher uses, or ``"w1"``.
        model: The model. It is not changed: copies of its weights are shuffled.
        seed: Seed of the shuffles.

    Returns:
        The records with ``traps`` filled in; it remains None for a layer without a spectrum.

    Raises:
        ValueError: If a spectrum is of mode ``"w2"``: a shuffled W2 is not the matrix of a convolution.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> generator = torch.manual_seed(0)
        >>> model = torch.nn.Linear(240, 120)
        >>> with torch.no_grad():
        ...     model.weight[0, 0] = 10
        >>> add_correlation_traps(layer_spectra(model), model)[0].traps
        1
    """
    layers = {layer.name: layer for layer in weight_layers(model)}
    completed = []
    for spectrum in spectra:
        if spectrum.mode not in ("slices", "w1"):
            raise ValueError(f'spectra must be of mode "slices" or "w1", found {spectrum.mode!r}')
        layer = layers.get(spectrum.layer)
        if layer is None or not _can_be_shuffled(layer, spectrum):
            completed.append(spectrum)
            continue
        traps = correlation_traps(weight_matrices(layer, spectrum.mode), seed=seed)
        completed.append(replace(spectrum, traps=traps.num_traps))
    return tuple(completed)


def _can_be_shuffled(layer: WeightLayer, spectrum: LayerSpectrum) -> bool:
    return not unreadable_reason(layer.weight) and 0 < spectrum.lambda_max < float("inf")
