"""Titles of the rows of tables of numbers."""

from __future__ import annotations

from lightning_factorlens.loggers.tags import PREFIX, TaggedValue


def row_title(entry: TaggedValue) -> str:
    """The tag of a number without its prefix, with its unit.

    Args:
        entry: The number with its declaration.

    Example:
        >>> from lightning_factorlens.measurements import Scalar
        >>> from lightning_factorlens.results import Value
        >>> scalar = Scalar("width", "{prefix}/width", "How wide it is.", unit="pixels")
        >>> row_title(TaggedValue("factorlens/width", Value("width", 3.0), scalar, "size"))
        'width (pixels)'
    """
    title = entry.tag.removeprefix(PREFIX).lstrip("_/")
    return f"{title} ({entry.scalar.unit})" if entry.scalar.unit else title
