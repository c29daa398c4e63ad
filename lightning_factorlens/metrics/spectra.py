"""Spectrum and power-law exponent of every layer's weight, and the α family of paper 002."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_factorlens.linalg.power_law import WEAK_BELOW, fit_power_law
from lightning_factorlens.linalg.spectrum import gram_eigenvalues
from lightning_factorlens.linalg.unfolding import channel_slices, unfold_weight
from lightning_factorlens.probing.weights import WeightLayer, weight_layers
from lightning_factorlens.types import AlphaSummary, LayerSpectrum, PowerLawFit

Mode = Literal["w1", "slices"]
Fitter = Callable[[Tensor], PowerLawFit]

_MODES = ("w1", "slices")
_BATCH = 1 << 25  # entries of one eigenvalue call: 256 MiB in float64


class SpectraCache:
    """Remembers each layer's last spectrum, and gives it back as long as the weight is the same bit for bit.

    A digest of the weight's bytes decides. Neither the address nor PyTorch's version counter could:
    ``weight.data.copy_`` (as averaging callbacks write) changes neither, and a parametrised weight is a new
    tensor at every reading, often at an old address. Digesting ResNet-18 takes 0.04 s, its spectra 1 s.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[tuple[object, ...], LayerSpectrum]] = {}

    def find(self, layer: WeightLayer, mode: Mode, key: tuple[object, ...]) -> LayerSpectrum | None:
        """The spectrum stored for this layer and mode, if it was stored under an equal ``key``; else None."""
        stored, spectrum = self._entries.get((layer.name, mode), (None, None))
        return spectrum if stored == key else None

    def store(self, layer: WeightLayer, mode: Mode, key: tuple[object, ...], spectrum: LayerSpectrum) -> None:
        """Puts the spectrum in the place of the layer's last one."""
        self._entries[layer.name, mode] = (key, spectrum)


@torch.no_grad()
def layer_spectra(
    model: nn.Module, *, mode: Mode = "w1", fit: Fitter = fit_power_law, cache: SpectraCache | None = None
) -> tuple[LayerSpectrum, ...]:
    """The spectrum of every weight of the model. α of one mode says nothing about α of the other.

    Args:
        model: Left as found.
        mode: ``"w1"``, the unfolding of paper 002 with one matrix a group; or ``"slices"``, the pooled
            channel slices of weightwatcher 0.7.7.
        fit: What makes a power law of a layer's eigenvalues.
        cache: Kept by the caller from look to look; a layer whose weight has not changed is not computed
            again.

    Returns:
        One entry a weight, in the order of ``named_modules()``; where there is no α, ``fit.reason`` says why.

    Raises:
        ValueError: If ``mode`` is neither of its two words.
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _MODES))}, found {mode!r}")
    layers = weight_layers(model)
    keys = [(fit, _digest(layer)) if cache is not None else () for layer in layers]
    spectra: dict[int, LayerSpectrum] = {}
    readable: dict[int, Tensor] = {}
    for i, layer in enumerate(layers):
        known = cache.find(layer, mode, keys[i]) if cache is not None else None
        if known is not None:
            spectra[i] = known
        elif reason := _unreadable(layer.weight):
            spectra[i] = _abstention(layer, mode, reason)
        else:
            readable[i] = _matrices(layer, mode)
    for i, eigenvalues in _eigenvalues(readable):
        lambda_max = float(eigenvalues[-1]) if eigenvalues.numel() else math.nan
        shape = tuple(readable[i].shape[1:])
        spectra[i] = LayerSpectrum(layers[i].name, mode, shape, eigenvalues, lambda_max, fit(eigenvalues))
    if cache is not None:
        for i, layer in enumerate(layers):
            cache.store(layer, mode, keys[i], spectra[i])
    return tuple(spectra[i] for i in range(len(layers)))


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


def _matrices(layer: WeightLayer, mode: Mode) -> Tensor:
    if mode == "slices":
        return channel_slices(layer.weight, transposed=layer.transposed)
    return unfold_weight(layer.weight, groups=layer.groups, transposed=layer.transposed)


def _eigenvalues(matrices: dict[int, Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Yields (layer, its eigenvalues ascending on the CPU); equal shapes share a call."""
    alike: dict[object, list[int]] = defaultdict(list)
    for i, X in matrices.items():
        alike[X.shape[1:], X.dtype, X.device].append(i)
    for members in alike.values():
        step = max(1, _BATCH // max(1, *(matrices[i].numel() for i in members)))
        for batch in (members[at : at + step] for at in range(0, len(members), step)):
            pooled = gram_eigenvalues(torch.cat([matrices[i] for i in batch])).cpu()
            sizes = [matrices[i].shape[0] for i in batch]
            yield from zip(batch, (part.flatten().sort().values for part in pooled.split(sizes)))


def _unreadable(weight: Tensor) -> str:
    if nn.parameter.is_lazy(weight):
        return "the weight is not initialised yet: run one batch through the model"
    if weight.is_meta:
        return "the weight is on the meta device and has no values"
    if not weight.is_floating_point():
        return f"the weight is {weight.dtype}, not real floating point"
    return ""


def _abstention(layer: WeightLayer, mode: Mode, reason: str) -> LayerSpectrum:
    nan = math.nan
    shape = () if nn.parameter.is_lazy(layer.weight) else tuple(_matrices(layer, mode).shape[1:])
    fit = PowerLawFit(alpha=nan, sigma=nan, x_min=nan, ks_distance=nan, n_tail=0, n=0, reason=reason)
    return LayerSpectrum(layer.name, mode, shape, torch.empty(0, dtype=torch.float64), nan, fit)


def _digest(layer: WeightLayer) -> tuple[object, ...]:
    """Equal for two weights if and only if they are equal bit for bit and belong to layers of one kind."""
    weight = layer.weight
    if _unreadable(weight):
        return (layer.op, "unreadable", str(weight.dtype))
    data = weight.contiguous().flatten().view(torch.uint8).cpu().numpy()
    content = hashlib.blake2b(data.data, digest_size=16).digest()
    return (layer.op, tuple(weight.shape), weight.dtype, layer.groups, layer.transposed, content)
