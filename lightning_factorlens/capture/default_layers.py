"""The layers that are captured when none are named: outputs of activation functions, one for each part of the network.

Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using factorization", section 3,
factorise the activations. A DenseNet-121 has 121 of them, and each would add about thirty curves. Therefore they are
grouped at the coarsest level of the module tree that still has `MIN_LAYERS` groups, and each group is represented by
the last activation that it computes. ResNet-18 gives nine layers: the stem and its eight blocks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from torch import nn

from lightning_factorlens.capture.tracing import ACTIVATION_FUNCTIONS
from lightning_factorlens.results import LayerInfo

#: Parts of the class names of modules whose output only repeats, subsamples or reshapes their input.
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
#: Parts of the class names of modules whose output is a linear function of their input, signed in general.
LINEAR_TYPES = ("Conv", "Linear", "Norm", "Bilinear", "Embedding", "MultiheadAttention")
#: Smallest number of groups with which a level of the module tree is used.
MIN_LAYERS = 8
#: Largest number of groups. If there are more, only every second, third … is kept, counted from the last.
MAX_LAYERS = 20


@dataclass(frozen=True)
class TracedOutput:
    """A tensor that the traced forward pass computed.

    Attributes:
        info: Its row in the table of layers, not yet selected.
        module_type: Class of the module; None for a functional call.
        is_leaf: Whether the module has no children; True for a functional call.
        owner: Path of the module whose forward made the call.
        memory: Equal for two calls that returned the same entries of the same memory.
        n_features: Entries for each sample.
        obstacle: Why it cannot be captured whatever the user selects; empty if it can.
        treatment: What is done to make one row of equal size for each sample; empty if nothing is.
    """

    info: LayerInfo
    module_type: type[nn.Module] | None
    is_leaf: bool
    owner: tuple[str, ...]
    memory: Hashable
    n_features: int
    obstacle: str = ""
    treatment: str = ""

    @property
    def name(self) -> str:
        """Stable name of the call."""
        return self.info.name

    @property
    def is_nonnegative(self) -> bool:
        """Whether no entry was below zero; True where all were NaN, so that the error can name the layer."""
        return not self.info.minimum < 0


def default_layers(traced: Sequence[TracedOutput]) -> list[tuple[bool, str]]:
    """Selects layers automatically.

    Non-negative activations are selected; signed ones as well if they make up more than half of the entries.

    Args:
        traced: From `trace_layers`, in the order of the forward pass.

    Returns:
        For every output whether it is selected, and why.

    Example:
        >>> import torch
        >>> from lightning_factorlens.capture import trace_layers
        >>> model = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
        >>> default_layers(trace_layers(model, model, torch.ones(2, 4)))[1]
        (True, 'non-negative activation')
    """
    channel_scales = _channel_scales(traced)
    activations: list[TracedOutput] = []
    n_features = 0
    n_nonnegative = 0
    for output in traced:
        if _is_activation(output) and output.name not in channel_scales:
            activations.append(output)
            n_features += output.n_features
            n_nonnegative += output.n_features * output.is_nonnegative
    use_signed = 2 * n_nonnegative < n_features
    first_in_memory: dict[Hashable, TracedOutput] = {}
    for output in activations:
        if use_signed or output.is_nonnegative:
            first_in_memory.setdefault(output.memory, output)
    representatives = _representatives(list(first_in_memory.values()))
    decisions = []
    for output in traced:
        reason = _rejection(output, channel_scales, use_signed)
        if not reason and first_in_memory[output.memory] is not output:
            reason = f"the same tensor as {first_in_memory[output.memory].name}"
        if not reason and representatives[output.name] != output.name:
            reason = f"represented by {representatives[output.name]}"
        if reason:
            decisions.append((False, reason))
        else:
            decisions.append((True, "non-negative activation" if output.is_nonnegative else "signed activation"))
    return decisions


def _rejection(output: TracedOutput, channel_scales: set[str], use_signed: bool) -> str:
    """Why an output cannot be selected, whatever the other outputs are; empty if it is a candidate."""
    if not output.is_leaf:
        return "container; its parts have rows of their own"
    if output.name in channel_scales:
        return "channel scale: one value for each channel, which multiplies another tensor"
    if not _is_activation(output):
        return _kind_of_other_output(output)
    if not output.is_nonnegative and not use_signed:
        return "signed activation, while most activations are non-negative"
    return ""


def _representatives(activations: Sequence[TracedOutput]) -> dict[str, str]:
    """Name of every activation → name of the selected one that represents it (itself, if it is selected)."""
    groups = _coarsest_groups(activations)
    stride = -(-len(groups) // MAX_LAYERS)
    representatives: dict[str, str] = {}
    representative = ""
    for k, names in enumerate(reversed(groups)):
        if k % stride == 0:
            representative = names[-1]
        for name in names:
            representatives[name] = representative
    return representatives


def _coarsest_groups(activations: Sequence[TracedOutput]) -> list[list[str]]:
    """Names grouped at the coarsest level with `MIN_LAYERS` groups; without such a level, each name by itself."""
    deepest = 0
    for output in activations:
        deepest = max(deepest, len(output.owner))
    for depth in range(1, deepest + 1):
        groups = _groups_at(activations, depth)
        if len(groups) >= MIN_LAYERS:
            return groups
    return [[output.name] for output in activations]


def _groups_at(activations: Sequence[TracedOutput], depth: int) -> list[list[str]]:
    """Names by the module at ``depth`` of the tree that computes them; one computed above it is a group by itself."""
    groups: dict[Hashable, list[str]] = {}
    for output in activations:
        if len(output.owner) < depth:
            groups[output.name] = [output.name]
        else:
            groups.setdefault(output.owner[:depth], []).append(output.name)
    return list(groups.values())


def _channel_scales(traced: Sequence[TracedOutput]) -> set[str]:
    """Names of the activations inside channel attention (squeeze-and-excitation and similar modules).

    Every output inside such a module has one value for each channel, while the module itself returns whole images.
    """
    image_containers: set[str] = set()
    outputs_by_owner: dict[str, list[TracedOutput]] = {}
    for output in traced:
        if not output.is_leaf and len(output.info.shape) > 1 and not _is_one_pixel(output):
            image_containers.add(output.name)
        outputs_by_owner.setdefault(".".join(output.owner), []).append(output)
    names: set[str] = set()
    for owner, outputs in outputs_by_owner.items():
        if owner in image_containers and all(map(_is_one_pixel, outputs)):
            for output in filter(_is_activation, outputs):
                names.add(output.name)
    return names


def _is_one_pixel(output: TracedOutput) -> bool:
    """Whether an image has one value for each channel, channels first or last."""
    shape = output.info.shape
    return len(shape) > 1 and output.n_features == max(shape[0], shape[-1])


def _is_activation(output: TracedOutput) -> bool:
    """Whether an output is that of an activation function.

    A user's own module counts if its output is non-negative and its type is neither linear nor passes its input
    through. Softmax counts for vectors only, since softmax of more axes gives attention weights.
    """
    op = output.info.op
    is_vector = len(output.info.shape) == 1
    if not output.is_leaf or (op.startswith("Softmax") and not is_vector):
        return False
    if output.module_type is None:
        if op in ACTIVATION_FUNCTIONS - {"clamp", "clamp_min", "softmax"}:
            return True
        return output.is_nonnegative and (op != "softmax" or is_vector)
    if output.module_type.__module__ == "torch.nn.modules.activation":
        return not _has_word(op, LINEAR_TYPES)
    return output.is_nonnegative and not _has_word(op, PASSTHROUGH_TYPES + LINEAR_TYPES)


def _kind_of_other_output(output: TracedOutput) -> str:
    """Why an output that is no activation is not selected."""
    if _has_word(output.info.op, PASSTHROUGH_TYPES):
        return "passes its input through"
    if not output.is_nonnegative:
        return "signed"
    if "oftmax" in output.info.op:
        return "attention weights"
    return "linear"


def _has_word(name: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words)
