"""Which layers when nobody says: the outputs of activation functions, one a block where a network has many.

The activations are what the papers factorise (000, section 3). A DenseNet-121 has 121 of them, and every one would
bring some thirty curves: so the coarsest level of the module tree that still holds `FEW` layers speaks for the finer
ones, each of its parts through the last activation it computes. ResNet-18 gives nine: the stem and its eight blocks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import nn

from lightning_factorlens.capture.tracing import ACTIVATION_FUNCTIONS
from lightning_factorlens.results import LayerInfo

#: Modules whose output only repeats, thins out or reshapes their input.
PASSTHROUGH_TYPES = (
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
LINEAR_TYPES = ("Conv", "Linear", "Norm", "Bilinear", "Embedding", "MultiheadAttention")
#: A level of the module tree must hold so many layers to stand for the finer ones.
MIN_LAYERS = 8
#: Where more are left, every second, third … is kept, counted from the last.
MAX_LAYERS = 20


@dataclass(frozen=True)
class TracedOutput:
    """A call of the dry pass: what the table of layers is made from.

    Attributes:
        choice: Its row, undecided.
        module_type: Type of the module; None for a functional call.
        leaf: Whether no module was called inside it.
        owner: Path of the module whose forward made the call.
        identity: Equal for two calls that returned the same values of the same memory.
        features: Entries an image.
    """

    choice: LayerInfo
    module_type: type[nn.Module] | None
    leaf: bool
    owner: tuple[str, ...]
    identity: Hashable
    features: int


def default_layers(seen: Sequence[TracedOutput]) -> list[tuple[bool, str]]:
    """For every call whether it is kept, and why.

    Of the activations the non-negative ones are kept, and the signed ones too where they are the most.

    Args:
        seen: In the order of the forward pass.
    """
    gates = _gates(seen)
    active = [s for s in seen if _is_activation(s) and s.choice.name not in gates]
    positive = sum(s.features for s in active if s.choice.minimum >= 0)
    with_signed = 2 * positive < sum(s.features for s in active)
    distinct = {s.identity: s for s in reversed(active) if with_signed or s.choice.minimum >= 0}
    spokesman = _thinned([s for s in active if distinct.get(s.identity) is s])
    return [_verdict(s, gates, with_signed, distinct, spokesman) for s in seen]


def _verdict(
    s: TracedOutput,
    gates: set[str],
    with_signed: bool,
    distinct: dict[Hashable, TracedOutput],
    spokesman: dict[str, str],
) -> tuple[bool, str]:
    name = s.choice.name
    if not s.leaf:
        return False, "a container: its parts are listed"
    if name in gates:
        return False, "a gate: one number a channel, which scales another tensor"
    if not _is_activation(s):
        return False, _why_not(s)
    if s.choice.minimum < 0 and not with_signed:
        return False, "signed activation, few beside the non-negative"
    if distinct[s.identity] is not s:
        return False, f"the same tensor as {distinct[s.identity].choice.name}"
    if spokesman[name] != name:
        return False, f"{spokesman[name]} stands for it"
    return True, "non-negative" if s.choice.minimum >= 0 else "signed activation"


def _thinned(active: Sequence[TracedOutput]) -> dict[str, str]:
    """Name of every activation → name of the kept one that stands for it (itself, where it is kept)."""
    deepest = max((len(s.owner) for s in active), default=0)
    levels = (_parts(active, depth) for depth in range(1, deepest + 1))
    parts = next((level for level in levels if len(level) >= MIN_LAYERS), [[s.choice.name] for s in active])
    stride = -(-len(parts) // MAX_LAYERS)
    spokesman, last = {}, ""
    for k, names in enumerate(reversed(parts)):
        last = last if k % stride else names[-1]
        spokesman.update(dict.fromkeys(names, last))
    return spokesman


def _parts(active: Sequence[TracedOutput], depth: int) -> list[list[str]]:
    """Names by the module at ``depth`` of the tree that makes them; what is made above it stands alone."""
    parts: dict[Hashable, list[str]] = {}
    for s in active:
        alone = len(s.owner) < depth
        parts.setdefault(s.choice.name if alone else s.owner[:depth], []).append(s.choice.name)
    return list(parts.values())


def _gates(seen: Sequence[TracedOutput]) -> set[str]:
    """Names of the activations inside squeeze-and-excitation and its like.

    There everything inside the module is one number a channel, while the module itself returns whole images.
    """
    whole = {s.choice.name for s in seen if not s.leaf and len(s.choice.shape) > 1 and not _one_pixel(s)}
    inside: dict[str, list[TracedOutput]] = {}
    for s in seen:
        inside.setdefault(".".join(s.owner), []).append(s)
    return {
        s.choice.name
        for owner, calls in inside.items()
        if owner in whole and all(map(_one_pixel, calls))
        for s in calls
        if _is_activation(s)
    }


def _one_pixel(s: TracedOutput) -> bool:
    shape = s.choice.shape
    return len(shape) > 1 and s.features == max(shape[0], shape[-1])


def _is_activation(s: TracedOutput) -> bool:
    if not s.leaf or (s.choice.op.startswith("Softmax") and len(s.choice.shape) > 1):
        return False
    if s.module_type is None:
        plain_relu = s.choice.op in ACTIVATION_FUNCTIONS - {"clamp", "clamp_min", "softmax"}
        return plain_relu or (s.choice.minimum >= 0 and (s.choice.op != "softmax" or len(s.choice.shape) == 1))
    if s.module_type.__module__ == "torch.nn.modules.activation":
        return not any(word in s.choice.op for word in LINEAR_TYPES)
    return s.choice.minimum >= 0 and not any(word in s.choice.op for word in PASSTHROUGH_TYPES + LINEAR_TYPES)


def _why_not(s: TracedOutput) -> str:
    if any(word in s.choice.op for word in PASSTHROUGH_TYPES):
        return "repeats its input"
    if s.choice.minimum < 0:
        return "signed"
    return "attention weights" if "oftmax" in s.choice.op else "linear"
