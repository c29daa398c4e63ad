"""The table of layers: short for a terminal, whole on request."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape

from lightning_factorlens.results._text import align_table, html_table, shorten
from lightning_factorlens.results.layers import LayerInfo

#: Longest name and longest operation that are printed whole.
MAX_NAME = 40
MAX_OP = 24
#: Largest number of lines that the short table has for the layers that are kept.
MAX_KEPT = 6
#: Largest number of reasons for which the short table counts skipped tensors one by one.
MAX_REASONS = 5
#: Columns of the short and of the whole table.
SHORT_HEADER = ("name", "op", "shape", "min", "reason")
WHOLE_HEADER = ("", "name", "op", "shape", "min", "", "reason")
#: Beginnings of reasons that end in the name of a layer.
REASONS_WITH_A_NAME = ("represented by", "the same tensor as")
NO_LAYER = (
    "no layer is observed, only inputs and outputs: the automatic selection found no activation function; name "
    "layers with LensOptions(layers=...); modules that return several tensors, such as nn.LSTM, have no output "
    "that can be captured"
)


class LayerTable(list[LayerInfo]):
    """The tensors of a forward pass: which are factorised, which are not, and why. Printed, it is the whole table.

    Example:
        >>> relu = LayerInfo("relu", "ReLU", (8, 4, 4), 0.0, True, "non-negative activation")
        >>> print(LayerTable([LayerInfo("conv", "Conv2d", (8, 4, 4), -2.5, False, "signed"), relu]))
           name  op      shape   min           reason
        -  ----  ------  -----  ----  -------  -----------------------
        *  relu  ReLU    8x4x4     0  kept     non-negative activation
           conv  Conv2d  8x4x4  -2.5  skipped  signed
    """

    def __str__(self) -> str:
        rows = []
        for layer in [*kept_layers(self), *_skipped_layers(self)]:
            mark, word = ("*", "kept") if layer.selected else ("", "skipped")
            name, op, shape, minimum, reason = _cells(layer)
            rows.append((mark, name, op, shape, minimum, word, reason))
        return "\n".join(align_table(WHOLE_HEADER, rows, right=(WHOLE_HEADER.index("min"),)))

    def _repr_html_(self) -> str:
        """The layers that are factorised as a table, and a second one of the others, which is closed at first."""
        kept = kept_layers(self)
        skipped = _skipped_layers(self)
        title = f"{len(kept)} of {len(self)} tensors are observed" if kept else escape(NO_LAYER)
        parts = [f"<b>{title}</b>"]
        if len(kept) > MAX_KEPT:
            shown = [*kept[: MAX_KEPT // 2], *kept[-(MAX_KEPT // 2) :]]
            parts.append(html_table(SHORT_HEADER, [_cells(layer) for layer in shown]))
            parts.append(_closed_table(f"all {len(kept)} observed tensors", kept))
        elif kept:
            parts.append(html_table(SHORT_HEADER, [_cells(layer) for layer in kept]))
        if skipped:
            parts.append(_closed_table(f"skipped: {_count_reasons(skipped)}", skipped))
        return f"<div>{''.join(parts)}</div>"


def _closed_table(summary: str, layers: Sequence[LayerInfo]) -> str:
    """A table that opens when its summary is clicked."""
    table = html_table(SHORT_HEADER, [_cells(layer) for layer in layers])
    return f"<details><summary>{escape(summary)}</summary>{table}</details>"


def short_layer_table(layers: Sequence[LayerInfo], expression: str) -> str:
    """The layers that are factorised, and how many others there are by reason, in plain ASCII.

    Args:
        layers: The table of layers.
        expression: What a user prints to see the whole table, such as ``lens.layer_table``.

    Returns:
        At most `MAX_KEPT` lines for layers, and four more.
    """
    kept = kept_layers(layers)
    n_features = sum(math.prod(layer.shape) for layer in kept)
    if kept:
        lines = [f"{len(kept)} of {len(layers)} tensors are observed, {n_features:,} features a sample:"]
        lines += _kept_lines(kept)
    else:
        lines = [NO_LAYER]
    skipped = _skipped_layers(layers)
    if skipped:
        lines.append(f"skipped: {_count_reasons(skipped)}; print({expression}) shows all rows")
    elif len(kept) > MAX_KEPT:
        lines.append(f"print({expression}) shows all rows")
    return "\n".join(lines)


def kept_layers(layers: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The layers that are factorised, in their order."""
    return [layer for layer in layers if layer.selected]


def _skipped_layers(layers: Sequence[LayerInfo]) -> list[LayerInfo]:
    return [layer for layer in layers if not layer.selected]


def _kept_lines(kept: Sequence[LayerInfo]) -> list[str]:
    """A header, a rule and one line for each layer; of many layers the first and the last ones."""
    shown = list(kept)
    n_first = MAX_KEPT // 2
    n_last = MAX_KEPT - n_first - 1
    if len(kept) > MAX_KEPT:
        shown = [*kept[:n_first], *kept[len(kept) - n_last :]]
    rows = [_cells(layer) for layer in shown]
    lines = align_table(SHORT_HEADER, rows, right=(SHORT_HEADER.index("min"),))
    if len(kept) > MAX_KEPT:
        lines.insert(2 + n_first, f"... {len(kept) - len(shown)} more")
    return lines


def _count_reasons(skipped: Sequence[LayerInfo]) -> str:
    """How many tensors are skipped for each reason, the most frequent first."""
    counts = Counter(_kind_of_reason(layer.reason) for layer in skipped)
    parts = []
    for reason, n in counts.most_common(MAX_REASONS):
        parts.append(f"{reason} ({n})")
    n_others = len(skipped) - sum(n for _, n in counts.most_common(MAX_REASONS))
    if n_others:
        parts.append(f"other reasons ({n_others})")
    return ", ".join(parts)


def _kind_of_reason(reason: str) -> str:
    """A reason without what differs from one layer to the other."""
    for beginning in REASONS_WITH_A_NAME:
        if reason.startswith(beginning):
            return f"{beginning} another"
    for separator in (":", ";"):
        reason = reason.split(separator)[0]
    return reason


def lens_text(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    """A lens as text: its model, its ranks and, once layers have been selected, their short table.

    Args:
        model: Name of the model's class.
        ranks: Ranks of the factorisation.
        layers: The lens's table of layers; empty before the first observation.

    Returns:
        Plain ASCII.
    """
    title = _lens_title(model, ranks, layers)
    if not layers:
        return title
    return f"{title}\n{short_layer_table(layers, 'lens.layer_table')}"


def lens_html(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    """The text of `lens_text` as HTML for notebooks."""
    table = f"<pre>{escape(short_layer_table(layers, 'lens.layer_table'))}</pre>" if layers else ""
    return f"<div><b>{escape(_lens_title(model, ranks, layers))}</b>{table}</div>"


def _lens_title(model: str, ranks: Sequence[int], layers: Sequence[LayerInfo]) -> str:
    pending = "" if layers else "; layers are selected at the first observation"
    return f"FactorLens on {model}, ranks {', '.join(map(str, ranks))}{pending}"


def _cells(layer: LayerInfo) -> tuple[str, str, str, str, str]:
    """Name, operation, shape, minimum and reason."""
    return (
        shorten(layer.name, MAX_NAME),
        shorten(layer.op, MAX_OP),
        "x".join(map(str, layer.shape)) or "scalar",
        f"{layer.minimum:.3g}",
        layer.reason,
    )
