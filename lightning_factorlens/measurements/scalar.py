"""The declaration of a scalar: its tag, its meaning, and where it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import Literal

from lightning_factorlens._validation import check_choice
from lightning_factorlens.results import Value

#: How much the loggers show; every level holds the ones before it.
Detail = Literal["summary", "layers", "all"]
DETAILS = ("summary", "layers", "all")
#: Which ranks of a curve are logged below the level ``"all"``.
LoggedRanks = Literal["all", "few", "middle"]
LOGGED_RANKS = ("all", "few", "middle")


@dataclass(frozen=True)
class Scalar:
    """The declaration of one scalar, or of a family that differs by scope and rank.

    Attributes:
        quantity: Name of the quantity, as the record's values and `to_frame` have it.
        tag: The name under which loggers write it. ``{prefix}``, ``{scope}`` and ``{rank}`` are replaced.
        help: Its meaning, in one sentence.
        reading: How to read it; empty where ``help`` says enough.
        unit: Its unit; empty for a pure number.
        better: ``"lower"`` or ``"higher"``; None where neither is better.
        scope: Declares only the values of this scope; None declares those of every scope that no other declaration of
            the quantity names.
        chart: Title of the chart in TensorBoard's custom scalars that shows it; empty for none. A title that holds
            ``{rank}`` shows the middle rank only. Of a scalar with ``{scope}`` in its tag, the chart shows at most
            three scopes: the first, the middle and the last one.
        margin_of: For a lower bound of another quantity, that quantity's name: the chart shades the gap between them.
        lower_bound: Name of the quantity that is 1 where this one is only a lower bound; empty for none.
        monitored: Whether it is also put into ``Trainer.callback_metrics``, so that other callbacks can monitor it.
        starts_later: Whether the first records may lack it; callbacks that monitor it find NaN until it has a value.
        of_class_scores: Whether it only exists where the model's output is read as class scores.
        summary: Whether it is shown in tables of runs: TensorBoard's HParams, the closing table, the progress line.
        detail: The level of the callback's argument ``detail`` from which loggers get it: ``"summary"`` (always),
            ``"layers"`` or ``"all"``. It is a matter of display: records, data frames, JSON lines and
            ``Trainer.callback_metrics`` have the number at every level. At ``"layers"``, channels of the input count
            as ``"all"``.
        ranks: Which ranks loggers get below the level ``"all"``: ``"all"`` of them, a ``"few"`` (at most three, evenly
            chosen) or the ``"middle"`` one.

    Raises:
        ValueError: A tag that does not begin with ``{prefix}``, other fields in braces, or an unknown direction, level
            or choice of ranks.

    Example:
        >>> scalar = Scalar("rms", "{prefix}_layers/{scope}/rms", "Root mean square of the entries of one block.")
        >>> scalar.tag.format(prefix="factorlens", scope="layer1", rank=None)
        'factorlens_layers/layer1/rms'
    """

    quantity: str
    tag: str
    help: str
    reading: str = ""
    unit: str = ""
    better: Literal["lower", "higher"] | None = None
    scope: str | None = None
    chart: str = ""
    margin_of: str = ""
    lower_bound: str = ""
    monitored: bool = False
    starts_later: bool = False
    of_class_scores: bool = False
    summary: bool = False
    detail: Detail = "summary"
    ranks: LoggedRanks = "all"

    def __post_init__(self) -> None:
        if not re.match(r"\{prefix\}[/_]", self.tag):
            raise ValueError(
                f"tag: must begin with '{{prefix}}/' or '{{prefix}}_', found {self.tag!r}; "
                f"write e.g. '{{prefix}}/{self.quantity}'."
            )
        _check_fields("tag", self.tag, ("prefix", "scope", "rank"))
        _check_fields("chart", self.chart, ("rank",))
        if self.better is not None:
            check_choice("better", self.better, ("lower", "higher"))
        check_choice("detail", self.detail, DETAILS)
        check_choice("ranks", self.ranks, LOGGED_RANKS)

    def matches(self, value: Value) -> bool:
        """Whether this declaration describes a value.

        Args:
            value: A number of a record.
        """
        return value.quantity == self.quantity and self.scope in (None, value.scope)


def _check_fields(name: str, template: str, allowed: tuple[str, ...]) -> None:
    """Refuses a template that could not be filled in once there is a value."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = [("", None, None, None), ("", template, "", None)]
    for _, field, format_spec, conversion in parts:
        if field is not None and (field not in allowed or format_spec or conversion):
            names = ", ".join(f"{{{field}}}" for field in allowed)
            raise ValueError(f"{name}: may have {names} in braces and no other braces, found {template!r}.")
