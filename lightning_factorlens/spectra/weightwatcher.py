"""The same weights through weightwatcher's own ``analyze()``: its matrices, its fit, its names.

Martin, Peng and Mahoney (2021, "Predicting trends in the quality of state-of-the-art neural networks without access to
training or testing data"). An extra: ``pip install 'lightning-factorlens[weightwatcher]'``.
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
from lightning_factorlens.spectra.record import missing_spectrum, unreadable_reason

_CONVOLUTIONS: dict[tuple[int, bool], type[nn.Module]] = {
    (1, False): nn.Conv1d, (2, False): nn.Conv2d, (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d, (2, True): nn.ConvTranspose2d, (3, True): nn.ConvTranspose3d,
}  # fmt: skip


def weightwatcher_spectra(layers: Sequence[WeightLayer], **options: Any) -> tuple[LayerSpectrum, ...]:
    """Analyses copies of the weights: weightwatcher writes attributes onto the modules it is given.

    Args:
        layers: As ``weight_layers(model)`` gives them.
        options: For ``analyze()``, e.g. ``randomize=True``.

    Returns:
        One record a layer: ``foreign`` holds its row; ``fit``, ``lambda_max`` and the like repeat what has a place
        in ours. The eigenvalues are not handed out. A layer that it skips abstains.

    Raises:
        ImportError: If weightwatcher is not installed.
    """
    reasons = [unreadable_reason(layer.weight) for layer in layers]
    rows = _analyze({str(i): layer for i, layer in enumerate(layers) if not reasons[i]}, options)
    return tuple(
        _record(layer, rows[str(i)])
        if str(i) in rows
        else missing_spectrum(layer.name, "slices", matrix_shape(layer, "slices"), reasons[i] or _skipped(layer))
        for i, layer in enumerate(layers)
    )


def _analyze(layers: dict[str, WeightLayer], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its table, a dict a row, under the names given."""
    with _silence():
        try:
            import weightwatcher
        except ImportError as error:
            words = "backend='weightwatcher' needs it: pip install 'lightning-factorlens[weightwatcher]'"
            raise ImportError(words) from error
        if not layers:
            return {}
        # What these imports do to the warning filters is undone as well.
        model = nn.ModuleDict({name: _copy(layer) for name, layer in layers.items()})
        table = weightwatcher.WeightWatcher(model=model).analyze(**{"plot": False, **options})
    return {str(row["longname"]): row for row in table.to_dict("records")}


def _copy(layer: WeightLayer) -> nn.Module:
    """A plain module with these values in float32, the only dtype that all of weightwatcher's paths read."""
    weight = layer.weight.detach().float().cpu()
    axes = weight.ndim - 2
    if not axes:
        module: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    else:
        kind = _CONVOLUTIONS[axes, layer.transposed]
        first, second = weight.shape[0], weight.shape[1] * layer.groups
        channels = (first, second) if layer.transposed else (second, first)
        module = kind(*channels, tuple(weight.shape[2:]), groups=layer.groups, bias=False, device="meta")
    module.weight = nn.Parameter(weight.clone(), requires_grad=False)
    return module


def _record(layer: WeightLayer, row: dict[str, Any]) -> LayerSpectrum:
    def number(name: str) -> float:
        return float(row.get(name, math.nan))

    fit = PowerLawFit(
        alpha=number("alpha"),
        sigma=number("sigma"),
        x_min=number("xmin"),
        ks_distance=number("D"),
        n_tail=int(row.get("num_pl_spikes", 0)),
        n=int(row.get("num_evals", 0)),
        reason=str(row.get("warning") or ""),
    )
    lambda_max = number("lambda_max")
    return LayerSpectrum(
        layer=layer.name,
        mode="slices",
        shape=matrix_shape(layer, "slices"),
        eigenvalues=torch.empty(0, dtype=torch.float64),
        lambda_max=lambda_max,
        fit=fit,
        log_lambda_max=math.log10(lambda_max) if lambda_max > 0 else math.nan,
        alpha_weighted=number("alpha_weighted"),
        spectral_norm=math.sqrt(lambda_max) if lambda_max >= 0 else math.nan,
        stable_rank=number("stable_rank"),
        traps=int(row["num_traps"]) if "num_traps" in row else None,
        external={**{str(name): value for name, value in row.items()}, "name": layer.name, "longname": layer.name},
    )


def _skipped(layer: WeightLayer) -> str:
    return f"weightwatcher has no row for this {layer.op} of shape {tuple(layer.weight.shape)}"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps its prints, its warnings and its change of the warning filters to itself, and its log below errors."""
    logger = logging.getLogger("weightwatcher")
    level = logger.level
    sinks = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), sinks[0], sinks[1]:
            warnings.simplefilter("ignore")
            logger.setLevel(logging.CRITICAL)
            yield
    finally:
        logger.setLevel(level)
