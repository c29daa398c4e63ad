"""The tags that monitored numbers will have, known before there is an observation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lightning_factorlens.loggers.tags import PREFIX
from lightning_factorlens.measurements import Measurement, Scalar


def declared_tags(measurements: Sequence[Measurement], ranks: Sequence[int], prefix: str = PREFIX) -> list[str]:
    """The tags that `monitored_scalars` may have, before there is an observation.

    Args:
        measurements: The measurements; pass `with_cost` of them for the tags of the cost too.
        ranks: The lens's ranks.
        prefix: First part of every tag.

    Returns:
        The tags, in the order of the measurements, without those that name a block or a layer.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> declared_tags([Consistency()], ranks=(1, 2))[0]
        'factorlens/consistency'
    """
    return _tags_of(_monitored_declarations(measurements), ranks, prefix)


def later_tags(
    measurements: Sequence[Measurement], ranks: Sequence[int], prefix: str = PREFIX, class_scores: bool = True
) -> list[str]:
    """The tags of `declared_tags` that the first observations may lack.

    Args:
        measurements: See `declared_tags`.
        ranks: See `declared_tags`.
        prefix: See `declared_tags`.
        class_scores: Whether the model's output is, or may be, read as class scores.

    Example:
        >>> from lightning_factorlens.measurements import ConceptQuality
        >>> later_tags([ConceptQuality()], ranks=(1, 2), class_scores=False)
        ['factorlens_concepts/clarity', 'factorlens_concepts/stability']
    """
    coming = []
    for scalar in _monitored_declarations(measurements):
        if scalar.starts_later and (class_scores or not scalar.of_class_scores):
            coming.append(scalar)
    return _tags_of(coming, ranks, prefix)


def _monitored_declarations(measurements: Sequence[Measurement]) -> Iterator[Scalar]:
    """The monitored scalars whose tags name no block and no layer."""
    for measurement in measurements:
        for scalar in measurement.scalars:
            if scalar.monitored and "{scope}" not in scalar.tag:
                yield scalar


def _tags_of(scalars: Iterable[Scalar], ranks: Sequence[int], prefix: str) -> list[str]:
    """Each tag once, in the order of the scalars; a tag without a rank is the same for all ranks."""
    tags: dict[str, None] = {}
    for scalar in scalars:
        for rank in ranks:
            tags[scalar.tag.format(prefix=prefix, rank=rank)] = None
    return list(tags)
