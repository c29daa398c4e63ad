"""Which weights of a model are those that are trained and that its forward pass uses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.weights import WeightLayer
from lightning_factorlens.results import SkippedWeights

FROZEN = "frozen"
NOT_CALLED = "not called by the forward pass"
NOTHING_TRAINABLE = "no parameter of the model is trainable: the weights that the forward pass uses are analysed"


def trained_weights(
    model: nn.Module, layers: Sequence[WeightLayer], used: UsedParameters
) -> tuple[list[WeightLayer], list[SkippedWeights]]:
    """Selects the weights of the model that is trained.

    A weight is selected if a recorded forward pass has used it and one of the parameters that it is computed from is
    trainable at this moment. Frozen loss networks, teachers, networks inside metrics, and networks that the forward
    pass does not call, such as a discriminator, are skipped. In a model without any trainable parameter, every used
    weight is selected.

    Args:
        model: The model.
        layers: All of its weights, from `weight_layers`.
        used: What forward passes have used; without a recorded one, all parameters.

    Returns:
        The selected weights, and the skipped ones in groups: one entry for each largest module whose weights are all
        skipped for one reason.

    Example:
        >>> from lightning_factorlens.capture.weights import weight_layers
        >>> model = nn.ModuleDict({"net": nn.Linear(3, 3), "teacher": nn.Linear(3, 3).requires_grad_(False)})
        >>> selected, skipped = trained_weights(model, weight_layers(model), UsedParameters())
        >>> [layer.name for layer in selected], skipped
        (['net'], [SkippedWeights(name='teacher', n_weights=1, reason='frozen')])
    """
    has_trainable = any(parameter.requires_grad for parameter in model.parameters())
    reasons: dict[str, str] = {}
    selected = []
    for layer in layers:
        reasons[layer.name] = skip_reason(layer, has_trainable, used)
        if not reasons[layer.name]:
            selected.append(layer)
    return selected, _grouped(reasons)


def skip_reason(layer: WeightLayer, has_trainable: bool, used: UsedParameters) -> str:
    """Why a weight is not one of those that are trained, see `trained_weights`; empty if it is.

    Args:
        layer: The weight.
        has_trainable: Whether any parameter of the model is trainable.
        used: What forward passes have used.

    Example:
        >>> import torch
        >>> skip_reason(WeightLayer("fc", "Linear", torch.zeros(2, 3), is_trainable=False), True, UsedParameters())
        'frozen'
    """
    if layer.parameters and not any(map(used.includes, layer.parameters)):
        return NOT_CALLED
    if has_trainable and not layer.is_trainable:
        return FROZEN
    return ""


def _grouped(reasons: dict[str, str]) -> list[SkippedWeights]:
    """The skipped weights by the largest module whose weights are all skipped for the same reason."""
    by_prefix: dict[str, set[str]] = {}
    for name, reason in reasons.items():
        for prefix in _prefixes(name):
            by_prefix.setdefault(prefix, set()).add(reason)
    counts: dict[tuple[str, str], int] = {}
    for name, reason in reasons.items():
        if reason:
            largest = next(prefix for prefix in _prefixes(name) if by_prefix[prefix] == {reason})
            counts[largest, reason] = counts.get((largest, reason), 0) + 1
    return [SkippedWeights(name, n_weights, reason) for (name, reason), n_weights in counts.items()]


def _prefixes(name: str) -> list[str]:
    """The paths of the modules around a weight, from the largest to its own name."""
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]
