"""Spectra of weights by weightwatcher's own ``analyze()``, with its matrices, its fit and its names.

Martin, Peng and Mahoney (2021), "Predicting trends in the quality of state-of-the-art neural networks without access to
training or testing data". The package is optional: ``pip install 'lightning-factorlens[weightwatcher]'``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.results import LayerSpectrum, PowerLawFit
from lightning_factorlens.spectra.matrices import matrix_shape
from lightning_factorlens.spectra.power_law import MAX_ALPHA
from lightning_factorlens.spectra.record import missing_spectrum, without_spectrum
from lightning_factorlens.spectra.tails import no_fit

_CONVOLUTIONS: dict[tuple[int, bool], type[nn.Module]] = {
    (1, False): nn.Conv1d, (2, False): nn.Conv2d, (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d, (3, True): nn.ConvTranspose3d,
}  # fmt: skip


def weightwatcher_spectra(layers: Sequence[WeightLayer], **options: Any) -> tuple[LayerSpectrum, ...]:
    """Analyzes the weights with weightwatcher.

    The weights are copied into new modules, because weightwatcher sets attributes on the modules it analyzes.

    Args:
        layers: Layers from ``weight_layers(model)``.
        options: Keyword arguments of ``analyze()``, e.g. ``randomize=True``.

    Returns:
        One record per layer. ``external`` holds the layer's row of weightwatcher's table; ``fit``, ``lambda_max`` and
        the other fields repeat those results that correspond to them. weightwatcher does not return the eigenvalues.
        A layer that it skips has no spectrum.

    Raises:
        ImportError: If weightwatcher is not installed.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> (spectrum,) = layer_spectra(torch.nn.Linear(60, 50), backend="weightwatcher")
        >>> spectrum.external["alpha"] == spectrum.fit.alpha
        True
    """
    readable: dict[str, WeightLayer] = {}
    missing: dict[str, LayerSpectrum] = {}
    for i, layer in enumerate(layers):
        found = without_spectrum(layer, "slices", _unsupported_reason(layer))
        if found is None:
            readable[str(i)] = layer
        else:
            missing[str(i)] = found
    rows = _analyze(readable, options)
    spectra = []
    for i, layer in enumerate(layers):
        row = rows.get(str(i))
        if row is not None:
            spectra.append(_spectrum_from_row(layer, row))
        elif str(i) in missing:
            spectra.append(missing[str(i)])
        else:
            shape = matrix_shape(layer, "slices")
            spectra.append(missing_spectrum(layer.name, "slices", shape, _skipped_reason(layer)))
    return tuple(spectra)


def _analyze(layers: dict[str, WeightLayer], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the rows of weightwatcher's table, as dicts, by the names of ``layers``."""
    # The import also changes the warning filters, so it is made inside the context that restores them.
    with _silence():
        try:
            import weightwatcher
        except ImportError as error:
            raise ImportError(
                "backend='weightwatcher' needs weightwatcher: pip install 'lightning-factorlens[weightwatcher]'"
            ) from error
        if not layers:
            return {}
        copies = nn.ModuleDict()
        for name, layer in layers.items():
            copies[name] = _copy(layer)
        table = weightwatcher.WeightWatcher(model=copies).analyze(**{"plot": False, **options})
    return {str(row["longname"]): row for row in table.to_dict("records")}


def _copy(layer: WeightLayer) -> nn.Module:
    """A plain module with the layer's weight in float32, the only dtype that all parts of weightwatcher accept."""
    weight = layer.weight.detach().float().cpu()
    axes = weight.ndim - 2
    module: nn.Module
    if axes:
        kind = _CONVOLUTIONS[axes, layer.transposed]
        first = weight.shape[0]
        second = weight.shape[1] * layer.groups
        channels = (first, second) if layer.transposed else (second, first)
        module = kind(*channels, tuple(weight.shape[2:]), groups=layer.groups, bias=False, device="meta")
    else:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    module.weight = nn.Parameter(weight.clone(), requires_grad=False)
    return module


def _spectrum_from_row(layer: WeightLayer, row: dict[str, Any]) -> LayerSpectrum:
    fit = _fit_from_row(row)
    external = {str(name): value for name, value in row.items()}
    external["name"] = layer.name
    external["longname"] = layer.name
    lambda_max = _number(row, "lambda_max")
    return LayerSpectrum(
        layer=layer.name,
        mode="slices",
        shape=matrix_shape(layer, "slices"),
        eigenvalues=torch.empty(0, dtype=torch.float64),
        lambda_max=lambda_max,
        fit=fit,
        log_lambda_max=_log10_or_nan(lambda_max),
        alpha_weighted=_number(row, "alpha_weighted") if math.isfinite(fit.alpha) else math.nan,
        spectral_norm=_sqrt_or_nan(lambda_max),
        stable_rank=_number(row, "stable_rank"),
        traps=int(row["num_traps"]) if "num_traps" in row else None,
        external=external,
    )


def _fit_from_row(row: dict[str, Any]) -> PowerLawFit:
    """The fit of a row; none where weightwatcher has found none, which it writes as α = −1, or fitted rounding."""
    n = int(row.get("num_evals", 0))
    alpha = _number(row, "alpha")
    if not math.isfinite(alpha) or alpha <= 1:
        return no_fit(n, f"weightwatcher found no power law (status {row.get('status', 'unknown')!r}, α = {alpha:g})")
    if alpha > MAX_ALPHA:
        return no_fit(n, f"weightwatcher fitted eigenvalues that are equal up to rounding (α = {alpha:.3g})")
    return PowerLawFit(
        alpha=alpha,
        sigma=_number(row, "sigma"),
        x_min=_number(row, "xmin"),
        ks_distance=_number(row, "D"),
        n_tail=int(row.get("num_pl_spikes", 0)),
        n=n,
        reason=str(row.get("warning") or ""),
    )


def _number(row: dict[str, Any], name: str) -> float:
    return float(row.get(name, math.nan))


def _log10_or_nan(value: float) -> float:
    if value > 0:
        return math.log10(value)
    return math.nan


def _sqrt_or_nan(value: float) -> float:
    if value >= 0:
        return math.sqrt(value)
    return math.nan


def _unsupported_reason(layer: WeightLayer) -> str:
    if layer.is_stack:
        return f"weightwatcher does not analyze stacked weights of shape {tuple(layer.weight.shape)}"
    return ""


def _skipped_reason(layer: WeightLayer) -> str:
    return f"weightwatcher has no row for this {layer.op} of shape {tuple(layer.weight.shape)}"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppresses prints, warnings and log records below errors, and restores the warning filters."""
    logger = logging.getLogger("weightwatcher")
    level = logger.level
    stdout = contextlib.redirect_stdout(io.StringIO())
    stderr = contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), stdout, stderr:
            warnings.simplefilter("ignore")
            logger.setLevel(logging.CRITICAL)
            yield
    finally:
        logger.setLevel(level)
