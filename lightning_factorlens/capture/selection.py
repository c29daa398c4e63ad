"""Selection of the layers that are captured, among the tensors that a traced forward pass computes."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lightning_factorlens._private_api.tensors import storage_reference
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.sample_rows import sample_rows
from lightning_factorlens.capture.default_layers import TracedOutput, default_layers
from lightning_factorlens.capture.module_names import layer_class
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.results import LayerInfo

LayerPatterns = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None

#: Largest number of names that an error message lists.
MAX_LISTED_NAMES = 40


def trace_layers(model: nn.Module, forward: Callable[[Any], Any], probe: Tensor | Batch) -> list[TracedOutput]:
    """Sends a few samples through the model and lists every tensor that it computes, in order.

    Args:
        model: In eval mode, see `isolate_model`.
        forward: Calls the model on the data of a batch.
        probe: A few samples, or a batch of them.

    Returns:
        One entry for each call that returned a floating-point tensor. Those from which no row for each sample can be
        made have an `obstacle`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> [output.name for output in trace_layers(model, model, torch.rand(2, 4))]
        ['0', '1', '2', '']
    """
    batch = probe if isinstance(probe, Batch) else Probe.wrap(probe).whole[0]
    traced: list[TracedOutput] = []

    def record(call: TracedCall) -> None:
        output = call.output.detach()
        if not output.is_floating_point() or output.ndim == 0:
            return
        rows = sample_rows(output, batch)
        if rows is None or rows.numel() == 0:
            traced.append(_untraceable_output(call, output, len(batch)))
        elif rows.ndim >= 2:
            traced.append(_traced_output(call, output, rows))

    with trace_calls(model, record):
        forward(batch.data)
    return traced


def _traced_output(call: TracedCall, output: Tensor, rows: Tensor) -> TracedOutput:
    """The record of a call from which the selection decides."""
    info = LayerInfo(call.name, call.op, tuple(rows.shape[1:]), _smallest(output), False, "")
    return TracedOutput(
        info,
        module_type=None if call.module is None else layer_class(call.module),
        is_leaf=call.module is None or next(call.module.children(), None) is None,
        owner=_owner(call),
        memory=(storage_reference(output), (int(output.storage_offset()), output.numel())),
        n_features=rows[0].numel(),
        treatment="" if rows.numel() == output.numel() else "mean over the rows of each sample",
    )


def _untraceable_output(call: TracedCall, output: Tensor, n_samples: int) -> TracedOutput:
    """The record of a call whose output cannot be captured."""
    obstacle = (
        "it is empty" if output.numel() == 0 else f"its rows are not samples: {len(output)} for {n_samples} samples"
    )
    minimum = _smallest(output) if output.numel() else 0.0
    info = LayerInfo(call.name, call.op, tuple(output.shape[1:]), minimum, False, "")
    module_type = None if call.module is None else layer_class(call.module)
    return TracedOutput(info, module_type, True, _owner(call), None, 0, obstacle)


def _smallest(output: Tensor) -> float:
    """The smallest value that is not NaN: the sign of an activation does not depend on a fault. NaN if all are."""
    smallest = float(output.min())
    if not math.isnan(smallest):
        return smallest
    finite = output[~output.isnan()]
    return float(finite.min()) if finite.numel() else math.nan


def _owner(call: TracedCall) -> tuple[str, ...]:
    """Path of the module that made the call: the parent of a module, the caller of a function."""
    separator = "F." if call.module is None else "."
    path = call.name.rpartition(separator)[0].strip(".")
    if not path:
        return ()
    return tuple(path.split("."))


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
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        >>> for row in select_layers(trace_layers(model, model, torch.rand(2, 4) - 0.5)):
        ...     print(repr(row.name), row.op, row.shape, row.selected)
        '0' Linear (5,) False
        '1' ReLU (5,) True
        '2' Linear (3,) False
        '' Sequential (3,) False
    """
    usable = [output for output in traced if not output.obstacle]
    found = default_layers(usable) if layers is None else _match_patterns(traced, layers)
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


def check_patterns(layers: LayerPatterns) -> list[str | type[nn.Module]]:
    """Checks the argument ``layers``.

    Args:
        layers: A pattern, a module type, or a list of them; None for the automatic selection.

    Returns:
        A list of patterns; an empty one for None.

    Raises:
        ValueError: Something that is neither a string nor a module type, an empty list, or a wrong regular expression.

    Example:
        >>> check_patterns("features.*")
        ['features.*']
    """
    if layers is None:
        return []
    patterns = [layers] if isinstance(layers, (str, type)) else layers
    is_list = isinstance(patterns, (list, tuple)) and len(patterns) > 0
    if not is_list or not all(isinstance(pattern, (str, type)) for pattern in patterns):
        raise ValueError(
            f"layers: must be a pattern, a module type, or a non-empty list of them, found {layers!r}; pass None for "
            "the automatic selection."
        )
    for pattern in patterns:
        if isinstance(pattern, str) and pattern.startswith("re:"):
            _compiled(pattern)
    return list(patterns)


def _match_patterns(traced: Sequence[TracedOutput], layers: LayerPatterns) -> list[tuple[bool, str]]:
    """For every output whether a pattern matches it, and the reason."""
    patterns = check_patterns(layers)
    decisions = [(False, "does not match `layers`")] * len(traced)
    for pattern in patterns:
        matches = []
        for k, output in enumerate(traced):
            if _matches(output, pattern):
                decisions[k] = (True, "matches `layers`")
                matches.append(output)
        if matches and all(output.obstacle for output in matches):
            raise ValueError(
                f"layers: {pattern!r} matches only outputs that cannot be captured, first {matches[0].name!r}: "
                f"{matches[0].obstacle}. Name other layers."
            )
        if not matches:
            raise ValueError(
                f"layers: {pattern!r} matches nothing; there are: {_listed(traced)}. "
                "Globs match whole names; write 're:…' for a regular expression, 'type:ReLU' for a type."
            )
    for pattern in patterns:
        if isinstance(pattern, str):
            _check_unambiguous(traced, pattern, patterns)
    return decisions


def _check_unambiguous(traced: Sequence[TracedOutput], pattern: str, patterns: Sequence[str | type[nn.Module]]) -> None:
    """Refuses a name without a wildcard if it is called several times and no later call is named as well."""
    any_call = re.compile(re.escape(pattern) + r"(-\d+)?")
    calls = [output.name for output in traced if any_call.fullmatch(output.name)]
    if len(calls) > 1 and set(patterns).isdisjoint(calls[1:]):
        raise ValueError(
            f"layers: {pattern!r} is ambiguous, it is called {len(calls)} times: {', '.join(calls)}. "
            f"Write '{pattern}*' for all of them, or 're:^{re.escape(pattern)}$' for the first."
        )


def _matches(output: TracedOutput, pattern: str | type[nn.Module]) -> bool:
    if isinstance(pattern, type):
        return output.module_type is not None and issubclass(output.module_type, pattern)
    kind, _, rest = pattern.partition(":")
    if kind == "type":
        return output.info.op == rest
    if kind == "re":
        return _compiled(pattern).search(output.name) is not None
    return fnmatch.fnmatchcase(output.name, pattern)


def _compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern that begins with ``re:``."""
    try:
        return re.compile(pattern.removeprefix("re:"))
    except re.error as error:
        raise ValueError(
            f"layers: {pattern!r} is not a regular expression: {error}; correct the part after 're:'."
        ) from error


def _listed(traced: Sequence[TracedOutput]) -> str:
    """The names of the traced outputs, for an error message."""
    names = [output.name for output in traced if output.name]
    if not names:
        return "no calls at all"
    listed = ", ".join(names[:MAX_LISTED_NAMES])
    n_more = len(names) - MAX_LISTED_NAMES
    if n_more > 0:
        return f"{listed} … and {n_more} more"
    return listed
