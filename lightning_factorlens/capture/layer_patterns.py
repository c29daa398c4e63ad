"""Layers chosen by the user: globs, regular expressions and module types, matched against a traced forward pass."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from torch import nn

from lightning_factorlens.capture.default_layers import TracedOutput

LayerPatterns = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None

#: Largest number of names that an error message lists.
MAX_LISTED_NAMES = 40


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


def match_patterns(traced: Sequence[TracedOutput], layers: LayerPatterns) -> list[tuple[bool, str]]:
    """Decides for every output whether a pattern matches it.

    Args:
        traced: From `trace_layers`.
        layers: See `select_layers`.

    Returns:
        For each output whether it is matched, and the reason.

    Raises:
        ValueError: A pattern that matches nothing that can be captured, or names one of several calls.
    """
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
