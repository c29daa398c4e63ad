"""Selection of the layers that are captured, among the tensors that a traced forward pass computes."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace

from lightning_factorlens.capture.default_layers import TracedOutput, default_layers
from lightning_factorlens.capture.layer_patterns import LayerPatterns, match_patterns
from lightning_factorlens.results import LayerInfo


def select_layers(
    traced: Sequence[TracedOutput], layers: LayerPatterns = None, previous: Collection[str] = ()
) -> list[LayerInfo]:
    """Decides for every traced output whether it is captured.

    Args:
        traced: From `trace_layers`.
        layers: None for the automatic selection (`default_layers`); otherwise globs (``"features.*"``), regular
            expressions (``"re:^layer[12]"``), or module types (``nn.ReLU`` or ``"type:ReLU"``), one or several.
        previous: Names of the layers that were selected before a run was interrupted. They are selected again if all of
            them were traced: the automatic selection depends on signs, which training may have changed.

    Returns:
        The table of layers: one row for each output, selected or not, with the reason. The automatic selection may find
        no activation: then no layer is selected.

    Raises:
        ValueError: A pattern that matches nothing that can be captured, or names one of several calls.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from lightning_factorlens.capture import trace_layers
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> for row in select_layers(trace_layers(model, model, torch.rand(2, 4) - 0.5)):
        ...     print(repr(row.name), row.op, row.shape, row.selected)
        '0' Linear (5,) False
        '1' ReLU (5,) True
        '2' Linear (3,) False
        '' Sequential (3,) False
    """
    usable = [output for output in traced if not output.obstacle]
    found = default_layers(usable) if layers is None else match_patterns(traced, layers)
    if layers is None:
        by_name = {output.name: decision for output, decision in zip(usable, found)}
        found = [by_name.get(output.name, (False, "")) for output in traced]
    if previous and set(previous).issubset(output.name for output in usable):
        for k, output in enumerate(traced):
            was_selected = output.name in previous
            reason = "selected before the interruption" if was_selected else found[k][1]
            found[k] = (was_selected, reason)
    rows: list[LayerInfo] = []
    selected_in_memory: dict[Hashable, str] = {}
    for output, (selected, reason) in zip(traced, found):
        if output.obstacle:
            selected = False
            reason = output.obstacle
        if selected:
            first = selected_in_memory.setdefault(output.memory, output.name)
            if first != output.name:
                selected = False
                reason = f"the same tensor as {first}"
            elif output.treatment:
                reason = f"{reason}; {output.treatment}"
        rows.append(replace(output.info, selected=selected, reason=reason))
    return rows
