"""Which layers: one dry pass finds what the network computes, a rule or the user's patterns choose from it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lightning_factorlens.probing.calls import ACTIVATION_FUNCTIONS, Call, watched
from lightning_factorlens.types import LayerChoice

#: Modules whose output only repeats, thins out or reshapes their input.
REPEATING = (
    "Pool",
    "Dropout",
    "latten",
    "Identity",
    "Upsample",
    "PixelShuffle",
    "ZeroPad",
    "StochasticDepth",
    "Permute",
)
#: Modules whose output is a linear image of their input, signed in general.
LINEAR = ("Conv", "Linear", "Norm", "Bilinear", "Embedding", "MultiheadAttention")

LayerPatterns = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None


@dataclass(frozen=True)
class Seen:
    """A call of the dry pass: what the table of layers is made from."""

    choice: LayerChoice
    module_type: type[nn.Module] | None
    leaf: bool
    identity: tuple[int, tuple[int, ...]]
    features: int


def dry_pass(model: nn.Module, forward: Callable[[Tensor], Any], images: Tensor) -> list[Seen]:
    """Sends a few images through the model and lists every tensor it makes, in order.

    Args:
        model: In eval mode.
        forward: Calls the model.
        images: A few probe images.

    Returns:
        One entry a call that returned a tensor with one row an image.
    """
    seen: list[Seen] = []
    alive: list[Tensor] = []  # storage of a dead tensor may be given to the next one, and would look the same

    def note(call: Call) -> None:
        """Keeps what the table needs of a call."""
        out = call.output.detach()
        if out.ndim < 2 or out.shape[0] != len(images) or not out.is_floating_point():
            return
        alive.append(out)
        leaf = call.module is None or next(call.module.children(), None) is None
        identity = (out.untyped_storage().data_ptr(), (int(out.storage_offset()), out.numel()))
        shape = tuple(out.shape[1:])
        choice = LayerChoice(call.name, call.op, shape, float(out.min()), False, "")
        module_type = None if call.module is None else type(call.module)
        seen.append(Seen(choice, module_type, leaf, identity, out[0].numel()))

    with watched(model, note):
        forward(images)
    return seen


def choose_layers(seen: Sequence[Seen], layers: LayerPatterns = None) -> list[LayerChoice]:
    """Decides about every tensor of a dry pass.

    Args:
        seen: From `dry_pass`.
        layers: None for the automatic choice; else globs (``"features.*"``), regular expressions
            (``"re:^layer[12]"``), module types (``nn.ReLU`` or ``"type:ReLU"``), one or several.

    Returns:
        One row a tensor, kept or skipped, with the reason.

    Raises:
        ValueError: A pattern that matches nothing, or a network in which the automatic choice finds nothing.
    """
    wanted = _automatic(seen) if layers is None else _matching(seen, layers)
    rows: list[LayerChoice] = []
    kept_as: dict[tuple[int, tuple[int, ...]], str] = {}
    for s, (keep, reason) in zip(seen, wanted):
        twin = kept_as.get(s.identity)
        if keep and twin is not None:
            keep, reason = False, f"the same tensor as {twin}"
        if keep:
            kept_as[s.identity] = s.choice.name
        rows.append(replace(s.choice, kept=keep, reason=reason))
    if not any(row.kept for row in rows):
        raise ValueError(
            "layers: the automatic choice found no activation function in the model's forward pass. "
            f"Name layers yourself; there are: {_names(seen)}."
        )
    return rows


def _automatic(seen: Sequence[Seen]) -> list[tuple[bool, str]]:
    """Outputs of activation functions: the non-negative ones, and the signed ones too where they are the most."""
    active = [s for s in seen if _is_activation(s)]
    positive = sum(s.features for s in active if s.choice.minimum >= 0)
    with_signed = 2 * positive < sum(s.features for s in active)
    verdicts = []
    for s in seen:
        if not s.leaf:
            verdicts.append((False, "a container: its parts are listed"))
        elif not _is_activation(s):
            verdicts.append((False, _why_not(s)))
        elif s.choice.minimum >= 0:
            verdicts.append((True, "non-negative"))
        else:
            verdicts.append(
                (with_signed, "signed activation" + ("" if with_signed else ", few beside the non-negative"))
            )
    return verdicts


def _is_activation(s: Seen) -> bool:
    if not s.leaf or (s.choice.op.startswith("Softmax") and len(s.choice.shape) > 1):
        return False
    if s.module_type is None:
        plain_relu = s.choice.op in ACTIVATION_FUNCTIONS - {"clamp", "clamp_min", "softmax"}
        return plain_relu or (s.choice.minimum >= 0 and (s.choice.op != "softmax" or len(s.choice.shape) == 1))
    if s.module_type.__module__ == "torch.nn.modules.activation":
        return not any(word in s.choice.op for word in LINEAR)
    return s.choice.minimum >= 0 and not any(word in s.choice.op for word in REPEATING + LINEAR)


def _why_not(s: Seen) -> str:
    if any(word in s.choice.op for word in REPEATING):
        return "repeats its input"
    if s.choice.minimum < 0:
        return "signed"
    return "attention weights" if "oftmax" in s.choice.op else "linear"


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


def _matching(seen: Sequence[Seen], layers: LayerPatterns) -> list[tuple[bool, str]]:
    patterns = check_patterns(layers)
    hits = [[_matches(s, p) for s in seen] for p in patterns]
    for pattern, hit in zip(patterns, hits):
        if not any(hit):
            raise ValueError(
                f"layers: {pattern!r} matches nothing; there are: {_names(seen)}. "
                "Globs match whole names; write 're:…' for a regular expression, 'type:ReLU' for a type."
            )
    chosen = [any(column) for column in zip(*hits)]
    return [(c, "asked for" if c else "not asked for") for c in chosen]


def _matches(s: Seen, pattern: str | type[nn.Module]) -> bool:
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


def _names(seen: Sequence[Seen], most: int = 40) -> str:
    names = [s.choice.name for s in seen if s.choice.name]
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "no calls at all"
