"""What is asked of a spectrum now and then, not at every look: is the fit to be trusted, and is a spike a trap?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.correlation_traps import correlation_traps
from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import Fitter
from lightning_factorlens.spectra.likelihood_ratio import compare_power_law
from lightning_factorlens.spectra.matrices import matrices
from lightning_factorlens.spectra.power_law import fit_power_law
from lightning_factorlens.spectra.record import unreadable_reason


def add_goodness_of_fit(
    spectra: Sequence[LayerSpectrum], *, draws: int = 1000, seed: int = 0, fit: Fitter = fit_power_law
) -> tuple[LayerSpectrum, ...]:
    """Adds goodness of fit, the wider σ, and the tests against lognormal and truncated power law to every fit.

    Args:
        spectra: As ``layer_spectra`` gives them.
        draws: Of the bootstrap: a fit each. 512 eigenvalues and 1,000 draws take about a second.
        seed: Of the bootstrap.
        fit: The one that made the spectra, with the same options.

    Returns:
        The same records with ``p_value``, ``sigma_bootstrap`` and both ratios filled; NaN where there is no α.

    Raises:
        ValueError: If ``draws`` is below 1, or a spectrum has an α but no eigenvalues (weightwatcher's).
    """
    return tuple(_judged(spectrum, draws, seed, fit) for spectrum in spectra)


def add_correlation_traps(
    spectra: Sequence[LayerSpectrum], model: nn.Module, *, seed: int = 0
) -> tuple[LayerSpectrum, ...]:
    """Adds the number of correlation traps to every spectrum that has a shuffled counterpart.

    Args:
        spectra: Of ``model``, mode ``"slices"`` (weightwatcher's traps) or ``"w1"``.
        model: Left as found; its weights are shuffled elsewhere.
        seed: Of the shuffles.

    Returns:
        The same records; ``traps`` stays None for a layer that abstained.

    Raises:
        ValueError: If a spectrum is of mode ``"w2"``, where shuffled entries are no operator.
    """
    layers = {layer.name: layer for layer in weight_layers(model)}
    found = []
    for spectrum in spectra:
        if spectrum.mode not in ("slices", "w1"):
            raise ValueError(f'spectra must be of mode "slices" or "w1", found {spectrum.mode!r}')
        layer = layers.get(spectrum.layer)
        if layer is None or unreadable_reason(layer.weight) or not 0 < spectrum.lambda_max < float("inf"):
            found.append(spectrum)
        else:
            found.append(
                replace(spectrum, traps=correlation_traps(matrices(layer, spectrum.mode), seed=seed).num_traps)
            )
    return tuple(found)


def _judged(spectrum: LayerSpectrum, draws: int, seed: int, fit: Fitter) -> LayerSpectrum:
    law, x = spectrum.fit, spectrum.eigenvalues
    if law.n_tail and not x.numel():
        raise ValueError(f"spectra must hold their eigenvalues, found none in {spectrum.layer!r} (another backend's?)")
    goodness = goodness_of_fit(x, law, draws=draws, seed=seed, refit=fit)
    lognormal = compare_power_law(x, law, "lognormal")
    truncated = compare_power_law(x, law, "truncated_power_law")
    return replace(
        spectrum,
        fit=replace(
            law,
            p_value=goodness.p_value,
            sigma_bootstrap=goodness.sigma,
            lognormal_ratio=lognormal.normalized,
            lognormal_p=lognormal.p_value,
            truncated_ratio=truncated.normalized,
            truncated_p=truncated.p_value,
        ),
    )
