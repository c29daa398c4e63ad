"""The names by which the layers of a model are asked for their signals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from lightning_factorlens._private_api.wrapped_modules import unwrapped_path
from lightning_factorlens.capture.linear_layers import FoundLayers

#: Why a parameter has no signals that is no module's weight.
NOT_RECEIVED = "no F.linear and no convolution of the forward pass receives it"


def chosen_names(model: nn.Module, found: FoundLayers, layers: str | Sequence[str] | None) -> set[str] | None:
    """The names of the layers that are asked for; None for all.

    Args:
        model: The model.
        found: Its layers.
        layers: A name or several; None for all.

    Raises:
        ValueError: A name that no layer has, no name, or something else than names.
    """
    if layers is None:
        return None
    given: Any = [layers] if isinstance(layers, str) else layers
    if not isinstance(given, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"layers: must be the name of a layer or a list of names, found {layers!r:.200}.")
    names = set(given)
    known = layer_names(model, found)
    unknown = sorted(names - set(known))
    if unknown or not names:
        raise ValueError(
            f"layers: found {', '.join(map(repr, unknown)) or 'no name'}; the linear layers of this model are "
            f"{', '.join(map(repr, known)) or 'none'}."
        )
    return names


def layer_names(model: nn.Module, found: FoundLayers) -> list[str]:
    """The names of all layers, of those without signals, and of parameters that a function may be called with.

    Args:
        model: The model.
        found: Its layers.

    Example:
        >>> from lightning_factorlens.capture.linear_layers import find_linear_layers
        >>> model = nn.Sequential(nn.Embedding(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        >>> layer_names(model, find_linear_layers(model))
        ['2', '0']
    """
    names = [layer.name for layer in (*found.layers, *found.projections)] + list(found.skipped)
    return list(dict.fromkeys([*names, *_free_parameters(model, found)]))


def _free_parameters(model: nn.Module, found: FoundLayers) -> Iterator[str]:
    """Names of the matrices and kernels among the parameters that no listed module has, as the tracer names them."""
    paths = [layer.path for layer in (*found.layers, *found.projections)]
    prefixes = tuple(f"{path}." if path else "" for path in paths)
    for name, parameter in model.named_parameters():
        is_lazy = nn.parameter.is_lazy(parameter)
        if not name.startswith(prefixes) and not is_lazy and parameter.ndim > 1 and parameter.is_floating_point():
            yield unwrapped_path(name).removesuffix(".weight")
