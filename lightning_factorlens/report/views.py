"""What a report shows of a checkpoint and samples beside the default measurements: concepts, hierarchy, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from lightning_factorlens._validation import check_int, check_non_negative
from lightning_factorlens.capture.linear_layers import linear_layers
from lightning_factorlens.hierarchy import hierarchy_report
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.measurements import (
    ConceptQuality,
    Measurement,
    NodeHealth,
    SemanticHierarchy,
    UnitPictures,
    default_measurements,
)
from lightning_factorlens.results import LayerHierarchies, Observation

#: How many layers have pictures where none are named: an early one, one in the middle, and the last.
N_LAYERS = 3


@dataclass(frozen=True)
class PictureRequest:
    """Which pictures of units are made, and how long that may take.

    Attributes:
        count: Pictures of each layer, of its leading singular vectors; 0 for none.
        layers: Names of the layers; None for three by depth.
        seconds: Time that they should take together; where it does not suffice, there are fewer, but one of each layer.
    """

    count: int = 4
    layers: tuple[str, ...] | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        check_int("count", self.count, 0)
        check_non_negative("seconds", self.seconds)


def view_measurements(rank: int = 10) -> list[Measurement]:
    """All measurements of a report but the pictures of units, see `with_unit_pictures`.

    Args:
        rank: Number of concepts.
    """
    return [*default_measurements(), ConceptQuality(rank=rank), SemanticHierarchy(), NodeHealth()]


def with_unit_pictures(
    observation: Observation, lens: FactorLens, samples: object, request: PictureRequest
) -> Observation:
    """Adds pictures that the leading singular vectors of some layers respond to.

    Args:
        observation: An observation of the samples.
        lens: The lens that made it.
        samples: The samples.
        request: Which pictures.

    Returns:
        The observation with a record ``unit_pictures``, or with a note why there is none.

    Raises:
        ValueError: A layer that was named has no singular vectors.
    """
    layers = spread_layers(lens.model) if request.layers is None else request.layers
    if request.count == 0 or not layers:
        return observation
    try:
        made, count = _pictures_in_time(observation, lens, samples, layers, request)
    except Exception as error:
        if request.layers is not None:
            raise
        return replace(observation, notes=(*observation.notes, f"unit pictures: none, because {error}"))
    notes = [*observation.notes, *made.notes]
    if UnitPictures.name in made:
        observation = observation.with_record(UnitPictures.name, made[UnitPictures.name])
        if count < request.count:
            notes.append(
                f"unit pictures: {count} instead of {request.count} in each layer, because more would have taken "
                f"longer than {request.seconds:g} s."
            )
    return replace(observation, notes=tuple(dict.fromkeys(notes)))


def _pictures_in_time(
    observation: Observation, lens: FactorLens, samples: object, layers: tuple[str, ...], request: PictureRequest
) -> tuple[Observation, int]:
    """One picture in each layer, and then as many as the time of the first ones suggests."""
    clock = lens.state.budget.clock
    start = clock()
    made = _pictures(observation, lens, samples, layers, 1)
    seconds = max(clock() - start, 1e-6)
    # All are made anew, since a batch of several takes less time than each alone.
    count = max(1, min(request.count, int((request.seconds - seconds) / seconds)))
    if count > 1:
        made = _pictures(observation, lens, samples, layers, count)
    return made, count


def _pictures(
    observation: Observation, lens: FactorLens, samples: object, layers: tuple[str, ...], count: int
) -> Observation:
    pictures = replace(lens, measurements=(UnitPictures(layers, count),))
    made, _ = pictures.measure(samples, observation.epoch, observation.step)
    return made


def spread_layers(model: nn.Module) -> tuple[str, ...]:
    """The first, the middle and the last of the convolutions and linear layers.

    Args:
        model: Any module.

    Example:
        >>> spread_layers(nn.Sequential(*(nn.Linear(2, 2) for _ in range(5))))
        ('0', '2', '4')
    """
    names = [layer.name for layer in linear_layers(model)]
    if len(names) <= N_LAYERS:
        return tuple(names)
    return (names[0], names[len(names) // 2], names[-1])


def with_untrained_hierarchy(
    observation: Observation, lens: FactorLens, samples: object, untrained: Sequence[FactorLens]
) -> Observation:
    """Adds the hierarchy of the last layer before the output, beside that of untrained networks.

    Args:
        observation: An observation with the measurement `SemanticHierarchy`; without its record it is returned as is.
        lens: The lens that made it.
        samples: The samples.
        untrained: Lenses of networks of the same class with new initial weights.

    Returns:
        The observation with a record ``hierarchy_report``.
    """
    record = observation.get(SemanticHierarchy.name)
    if not isinstance(record, LayerHierarchies) or record.diagram is None:
        return observation
    layer = record.diagram.layer
    others = []
    for other in untrained:
        signals = other.signals(samples, layer)
        if layer in signals:
            others.append(signals[layer])
    found = lens.hierarchy(samples, layer)
    own = lens.signals(samples, layer)[layer]
    report = hierarchy_report(found, own, others, seed=lens.options.seed)
    return observation.with_record("hierarchy_report", report)
