"""TensorBoard's page "Custom Scalars": a few charts, each with the curves that belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, middle_rank_of
from lightning_factorlens.measurements import Scalar

#: Category, chart, then the kind of chart and its tags, as ``add_custom_scalars`` takes it.
Layout = dict[str, dict[str, list[str | list[str]]]]


def scalar_layout(
    tagged: Sequence[TaggedValue], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX, tag_prefix: str = ""
) -> Layout:
    """The charts that the scalars declare.

    Args:
        tagged: The values of an observation; a chart without any is left out.
        extra_scalars: Scalars that other callbacks log under the same prefix.
        prefix: First part of the tags; also the title of the category.
        tag_prefix: Text that the logger puts before every tag.

    Returns:
        One category; none without charts. The tags of a multi-line chart are escaped and end in ``$``, because
        TensorBoard reads them as regular expressions that need only match the beginning: ``…/layer1`` would draw
        ``layer10`` too. The tags of a chart with a margin (value, lower, upper) are not changed.
    """
    rank = middle_rank_of(tagged)
    lines: dict[str, list[str]] = {}
    margins: dict[str, list[str | list[str]]] = {}
    for entry in tagged:
        chart = entry.scalar.chart
        if not chart or ("{rank}" in chart and entry.value.rank != rank):
            continue
        title = chart.format(rank=rank)
        if entry.scalar.margin_of:
            margin = _margin(entry, tagged, tag_prefix)
            if margin is not None:
                margins[title] = ["Margin", margin]
                lines.setdefault(title, [])
        else:
            lines.setdefault(title, []).append(_pattern(tag_prefix + entry.tag))
    for scalar in extra_scalars:
        if scalar.chart:
            lines.setdefault(scalar.chart, []).append(_pattern(tag_prefix + scalar.tag.format(prefix=prefix)))
    charts: dict[str, list[str | list[str]]] = {}
    for title, patterns in lines.items():
        charts[title] = margins.get(title, ["Multiline", patterns])
    if not charts:
        return {}
    return {prefix: charts}


def _margin(lower: TaggedValue, tagged: Sequence[TaggedValue], tag_prefix: str) -> list[str] | None:
    """The tags (value, lower, upper) of all blocks together; None for other scopes."""
    if lower.value.scope != "total":
        return None
    for entry in tagged:
        is_bounded = entry.value.quantity == lower.scalar.margin_of
        if is_bounded and (entry.value.scope, entry.value.rank) == ("total", lower.value.rank):
            upper = tag_prefix + entry.tag
            return [upper, tag_prefix + lower.tag, upper]
    return None


def _pattern(tag: str) -> str:
    return f"{re.escape(tag)}$"
