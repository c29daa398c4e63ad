"""Which layers: one dry pass finds what the network computes, a rule or the user's patterns choose from it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from lightning_factorlens.capture.batch import Batch
from lightning_factorlens.capture.default_layers import TracedOutput, default_layers
from lightning_factorlens.capture.tracing import TracedCall, trace_calls
from lightning_factorlens.results import LayerInfo

LayerPatterns = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


def trace_layers(model: nn.Module, forward: Callable[[Any], Any], probe: Tensor | Batch) -> list[TracedOutput]:
    """Sends a few samples through the model and lists every tensor it makes, in order.

    Args:
        model: In eval mode.
        forward: Calls the model on what a batch holds.
        probe: A few samples.

    Returns:
        One entry a call that returned a tensor with one row a sample.
    """
    batch = Batch.wrap(probe)
    seen: list[TracedOutput] = []
    alive: list[Tensor] = []  # storage of a dead tensor may be given to the next one, and would look the same

    def note(call: TracedCall) -> None:
        """Keeps what the table needs of a call."""
        out = call.output.detach()
        if out.ndim < 2 or out.shape[0] != len(batch) or not out.is_floating_point():
            return
        alive.append(out)
        leaf = call.module is None or next(call.module.children(), None) is None
        identity = (out.untyped_storage().data_ptr(), (int(out.storage_offset()), out.numel()))
        shape = tuple(out.shape[1:])
        choice = LayerInfo(call.name, call.op, shape, float(out.min()), False, "")
        module_type = None if call.module is None else type(call.module)
        seen.append(TracedOutput(choice, module_type, leaf, _owner(call), identity, out[0].numel()))

    with trace_calls(model, note):
        forward(batch.data)
    return seen


def select_layers(
    seen: Sequence[TracedOutput], layers: LayerPatterns = None, previous: Collection[str] = ()
) -> list[LayerInfo]:
    """Decides about every tensor of a dry pass.

    Args:
        seen: From `dry_pass`.
        layers: None for the automatic choice; else globs (``"features.*"``), regular expressions
            (``"re:^layer[12]"``), module types (``nn.ReLU`` or ``"type:ReLU"``), one or several.
        earlier: Names kept by an earlier choice, before a run was interrupted. They are kept again, where all are
            there: the automatic choice looks at signs, and training may have turned one.

    Returns:
        One row a tensor, kept or skipped, with the reason.

    Raises:
        ValueError: A pattern that matches nothing, or one call of several; or a network in which the automatic choice
            finds nothing.
    """
    wanted = default_layers(seen) if layers is None else _matching(seen, layers)
    if previous and {s.choice.name for s in seen}.issuperset(previous):
        wanted = [
            (s.choice.name in previous, "as before" if s.choice.name in previous else why[1])
            for s, why in zip(seen, wanted)
        ]
    rows: list[LayerInfo] = []
    kept_as: dict[Hashable, str] = {}
    for s, (keep, reason) in zip(seen, wanted):
        twin = kept_as.get(s.identity)
        if keep and twin is not None:
            keep, reason = False, f"the same tensor as {twin}"
        if keep:
            kept_as[s.identity] = s.choice.name
        rows.append(replace(s.choice, selected=keep, reason=reason))
    if not any(row.selected for row in rows):
        raise ValueError(
            "layers: the automatic choice found no activation function in the model's forward pass. "
            f"Name layers yourself; there are: {_names(seen)}."
        )
    return rows


def _owner(call: TracedCall) -> tuple[str, ...]:
    """Path of the module that made the call: the parent of a module, the caller of a function."""
    path = call.name.rpartition("." if call.module is not None else "F.")[0].strip(".")
    return tuple(path.split(".")) if path else ()


def check_patterns(layers: LayerPatterns) -> list[str | type[nn.Module]]:
    """The patterns as a list.

    Raises:
        ValueError: Something that is neither a string nor a module type, or an empty list.
    """
    patterns = [layers] if isinstance(layers, (str, type)) else layers
    if patterns is None:
        return []
    if not isinstance(patterns, (list, tuple)) or not patterns or not all(isinstance(p, (str, type)) for p in patterns):
        raise ValueError(f"layers: must be a pattern, a module type, or a non-empty list of them, found {layers!r}.")
    return list(patterns)


def _matching(seen: Sequence[TracedOutput], layers: LayerPatterns) -> list[tuple[bool, str]]:
    patterns = check_patterns(layers)
    hits = [[_matches(s, p) for s in seen] for p in patterns]
    for pattern, hit in zip(patterns, hits):
        if not any(hit):
            raise ValueError(
                f"layers: {pattern!r} matches nothing; there are: {_names(seen)}. "
                "Globs match whole names; write 're:…' for a regular expression, 'type:ReLU' for a type."
            )
    for pattern in patterns:
        again = [s.choice.name for s in seen if _calls_of(s, pattern)]
        if len(again) > 1 and not any(name in patterns for name in again[1:]):
            raise ValueError(
                f"layers: {pattern!r} is ambiguous, it is called {len(again)} times: {', '.join(again)}. "
                f"Write '{pattern}*' for all of them, or 're:^{re.escape(str(pattern))}$' for the first."
            )
    chosen = [any(column) for column in zip(*hits)]
    return [(c, "asked for" if c else "not asked for") for c in chosen]


def _matches(s: TracedOutput, pattern: str | type[nn.Module]) -> bool:
    if isinstance(pattern, type):
        return s.module_type is not None and issubclass(s.module_type, pattern)
    kind, _, rest = pattern.partition(":")
    if kind == "type":
        return s.choice.op == rest
    if kind == "re":
        try:
            return re.search(rest, s.choice.name) is not None
        except re.error as error:
            raise ValueError(f"layers: {pattern!r} is not a regular expression: {error}.") from error
    return fnmatch.fnmatchcase(s.choice.name, pattern)


def _calls_of(s: TracedOutput, pattern: str | type[nn.Module]) -> bool:
    """Whether this is the first or a later call of what ``pattern`` names without a wildcard."""
    return isinstance(pattern, str) and re.fullmatch(re.escape(pattern) + r"(-\d+)?", s.choice.name) is not None


def _names(seen: Sequence[TracedOutput], most: int = 40) -> str:
    names = [s.choice.name for s in seen if s.choice.name]
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "no calls at all"
