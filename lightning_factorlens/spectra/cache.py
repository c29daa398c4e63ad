"""Spectra of the previous observation, for the layers whose weights have not changed since."""

from __future__ import annotations

from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.fingerprint import hash_bits
from lightning_factorlens.spectra.record import unreadable_reason

Key = tuple[object, ...]


class SpectraCache:
    """Stores the last spectrum of each layer and returns it as long as the weight is equal bit for bit.

    The key contains a hash of the weight's bytes. Neither the weight's address nor PyTorch's version counter would
    suffice: ``weight.data.copy_``, which weight-averaging callbacks use, changes neither, and a parametrized weight is
    a new tensor whenever it is read, often at an old address. Hashing the weights of a ResNet-18 takes 2 ms.

    Example:
        >>> import torch
        >>> from lightning_factorlens.spectra import layer_spectra
        >>> model = torch.nn.Linear(30, 20)
        >>> cache = SpectraCache()
        >>> first = layer_spectra(model, cache=cache)
        >>> layer_spectra(model, cache=cache)[0] is first[0]
        True
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[Key, LayerSpectrum]] = {}

    def find(self, layer: WeightLayer, mode: str, key: Key) -> LayerSpectrum | None:
        """Returns the spectrum stored for this layer and mode if its key equals ``key``, otherwise None."""
        stored_key, spectrum = self._entries.get((layer.name, mode), (None, None))
        if stored_key != key:
            return None
        return spectrum

    def store(self, layer: WeightLayer, mode: str, key: Key, spectrum: LayerSpectrum) -> None:
        """Replaces the spectrum stored for this layer and mode."""
        self._entries[layer.name, mode] = (key, spectrum)


def weight_fingerprint(layer: WeightLayer) -> Key:
    """Computes a key that is equal for two weights if their layers and their bits are equal, and otherwise differs.

    See `hash_bits` for how unlikely it is that a change is missed.

    Args:
        layer: Layer and its weight.

    Returns:
        Type and geometry of the layer, shape and dtype of the weight, and a 128-bit hash of its bytes. For a weight
        without readable values: the type of the layer and the dtype.

    Example:
        >>> import torch
        >>> layer = WeightLayer("fc", "Linear", torch.eye(2))
        >>> weight_fingerprint(layer) == weight_fingerprint(WeightLayer("fc", "Linear", 2 * torch.eye(2)))
        False
    """
    weight = layer.weight
    if unreadable_reason(weight):
        return (layer.op, "unreadable", str(weight.dtype))
    geometry = (layer.op, layer.groups, layer.transposed, layer.stride, layer.dilation)
    return (*geometry, tuple(weight.shape), weight.dtype, hash_bits(weight))
