"""TensorBoard's page "Custom Scalars": a few charts, each with the curves that belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning_factorlens.loggers.tags import PREFIX, TaggedValue, middle_rank_of
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.results.record import is_input_block

#: Category, chart, then the kind of chart and its tags, as ``add_custom_scalars`` takes it.
Layout = dict[str, dict[str, list[str | list[str]]]]


def scalar_layout(
    tagged: Sequence[TaggedValue], extra_scalars: Sequence[Scalar] = (), prefix: str = PREFIX, tag_prefix: str = ""
) -> Layout:
    """The charts that the scalars declare.

    Args:
        tagged: The values that are logged; a chart without any is left out.
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
    for scalar, entries in _by_declaration(tagged).items():
        charted = []
        for entry in entries:
            if "{rank}" not in scalar.chart or entry.value.rank == rank:
                charted.append(entry)
        if not charted:
            continue
        patterns = lines.setdefault(scalar.chart.format(rank=rank), [])
        if scalar.margin_of:
            margin = _margin(charted, tagged, tag_prefix)
            if margin is not None:
                margins[scalar.chart.format(rank=rank)] = ["Margin", margin]
        else:
            patterns += [_pattern(tag_prefix + entry.tag) for entry in few_scopes(charted)]
    for scalar in extra_scalars:
        if scalar.chart:
            lines.setdefault(scalar.chart, []).append(_pattern(tag_prefix + scalar.tag.format(prefix=prefix)))
    charts: dict[str, list[str | list[str]]] = {}
    for title, patterns in lines.items():
        if patterns or title in margins:
            charts[title] = margins.get(title, ["Multiline", patterns])
    if not charts:
        return {}
    return {prefix: charts}


def few_scopes(entries: Sequence[TaggedValue]) -> list[TaggedValue]:
    """The values of one declaration that its chart shows, so that the lines of two runs stay readable.

    Args:
        entries: Tagged values of one declaration, at least one.

    Returns:
        All of them where the tag has no ``{scope}``; else those of the first, the middle and the last scope, channels
        of the input left out.
    """
    if "{scope}" not in entries[0].scalar.tag:
        return list(entries)
    scopes = list(dict.fromkeys(entry.value.scope for entry in entries if not is_input_block(entry.value.scope or "")))
    shown = {scopes[0], scopes[len(scopes) // 2], scopes[-1]} if scopes else set()
    return [entry for entry in entries if entry.value.scope in shown]


def _by_declaration(tagged: Sequence[TaggedValue]) -> dict[Scalar, list[TaggedValue]]:
    """The values of the scalars that have a chart, by their declarations."""
    found: dict[Scalar, list[TaggedValue]] = {}
    for entry in tagged:
        if entry.scalar.chart:
            found.setdefault(entry.scalar, []).append(entry)
    return found


def _margin(lowers: Sequence[TaggedValue], tagged: Sequence[TaggedValue], tag_prefix: str) -> list[str] | None:
    """The tags (value, lower, upper) of all blocks together; None where there is no such pair."""
    for lower in lowers:
        for entry in tagged:
            is_bounded = entry.value.quantity == lower.scalar.margin_of
            is_total = lower.value.scope == entry.value.scope == "total"
            if is_bounded and is_total and entry.value.rank == lower.value.rank:
                upper = tag_prefix + entry.tag
                return [upper, tag_prefix + lower.tag, upper]
    return None


def _pattern(tag: str) -> str:
    return f"{re.escape(tag)}$"
