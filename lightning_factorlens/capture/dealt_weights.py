"""The weights that are analysed, and which process analyses which of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.capture.trained_weights import skip_reason, trained_weights
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.weights import WeightLayer, iterate_weights, weight_layers
from lightning_factorlens.distributed import SingleProcess, assign_greedy
from lightning_factorlens.results import SkippedWeights


@dataclass(frozen=True)
class DealtWeights:
    """The trained weights of a model, each with the process that analyses it.

    Attributes:
        layers: The selected weights. Of a sharded model those of other processes have shapes and no values.
        owners: The rank of the process that analyses each of them.
        skipped: The others in groups, see `trained_weights`.
    """

    layers: list[WeightLayer]
    owners: list[int]
    skipped: list[SkippedWeights]


def deal_weights(
    model: nn.Module, used: UsedParameters, cost: Callable[[WeightLayer], float], process_group: SingleProcess
) -> DealtWeights:
    """Selects the trained weights of a model and divides them between the processes.

    A sharded model is gathered piece by piece by all processes together, and each keeps copies of its own weights:
    memory holds about the model divided by the number of processes, and the largest piece.

    Args:
        model: The model.
        used: What forward passes have used, the same in all processes.
        cost: Expected cost of analysing a weight, of which only the shape may be read.
        process_group: The processes.

    Returns:
        The selected weights and their owners, which are equal in all processes.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        >>> dealt = deal_weights(model, UsedParameters(), lambda layer: 1.0, SingleProcess())
        >>> [layer.name for layer in dealt.layers], dealt.owners
        (['0', '1'], [0, 0])
    """
    if sharded_parameters(model):
        return _deal_sharded(model, used, cost, process_group)
    layers, skipped = trained_weights(model, weight_layers(model), used)
    owners = assign_greedy(list(map(cost, layers)), [0.0] * process_group.world_size)
    return DealtWeights(layers, owners, skipped)


def _deal_sharded(
    model: nn.Module, used: UsedParameters, cost: Callable[[WeightLayer], float], process_group: SingleProcess
) -> DealtWeights:
    """Deals each weight, while it is whole, to the process with the smallest cost so far."""
    has_trainable = any(parameter.requires_grad for parameter in model.parameters())
    loads = [0.0] * process_group.world_size
    owners: list[int] = []
    described: list[WeightLayer] = []
    selected: list[WeightLayer] = []
    failure: Exception | None = None
    for layer in iterate_weights(model):
        description = layer.description()
        described.append(description)
        if skip_reason(layer, has_trainable, used):
            continue
        owner = loads.index(min(loads))
        owners.append(owner)
        loads[owner] += cost(description)
        try:
            selected.append(layer.copy() if owner == process_group.rank else description)
        except RuntimeError as error:  # too little memory; the others still wait for this process's parts
            failure = error
    if failure is not None:
        raise failure
    return DealtWeights(selected, owners, trained_weights(model, described, used)[1])
