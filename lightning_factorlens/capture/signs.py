"""Sign policies: each turns a block that may have negative values into the blocks that are factorised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from lightning_factorlens._validation import is_number
from lightning_factorlens.results import Block


class SignPolicy(Protocol):
    """Turns a block that may hold negative values into blocks that the factorisation accepts."""

    def __call__(self, block: Block) -> list[Block]:
        """The blocks to factorise in its place."""


@dataclass(frozen=True)
class Rectify:
    """max(x, 0), the output of a ReLU after the layer.

    Example:
        >>> import torch
        >>> from lightning_factorlens.results import Block
        >>> block = Block("conv", "activation", torch.tensor([[-1.0, 2.0]]), (2,))
        >>> Rectify()(block)[0].samples
        tensor([[0., 2.]])
    """

    def __call__(self, block: Block) -> list[Block]:
        """Returns the block with its negative values set to 0."""
        return [replace(block, samples=block.samples.clamp_min(0))]


@dataclass(frozen=True)
class Split:
    """x = x⁺ − x⁻ as two non-negative blocks, ``name/pos`` and ``name/neg``.

    Example:
        >>> import torch
        >>> from lightning_factorlens.results import Block
        >>> block = Block("conv", "activation", torch.tensor([[-1.0, 2.0]]), (2,))
        >>> [(part.name, part.samples.tolist()) for part in Split()(block)]
        [('conv/pos', [[0.0, 2.0]]), ('conv/neg', [[1.0, 0.0]])]
    """

    def __call__(self, block: Block) -> list[Block]:
        """Returns the block of the positive parts and that of the negative parts."""
        positive = replace(block, name=f"{block.name}/pos", samples=block.samples.clamp_min(0))
        negative = replace(block, name=f"{block.name}/neg", samples=(-block.samples).clamp_min(0))
        return [positive, negative]


@dataclass(frozen=True)
class KeepSigned:
    """Keeps the values signed and lets the block's factor be signed too (semi-NMF: Ding, Li and Jordan, 2010)."""

    def __call__(self, block: Block) -> list[Block]:
        """Returns the block, marked as signed."""
        return [replace(block, signed=True)]


@dataclass(frozen=True)
class SubtractMin:
    """x − min x: undoes a normalisation whose constants are not known, up to scale."""

    def __call__(self, block: Block) -> list[Block]:
        """Returns the block less its smallest value."""
        return [replace(block, samples=block.samples - block.samples.min())]


@dataclass(frozen=True)
class Denormalize:
    """x · std + mean for each channel: the pixels before torchvision's ``transforms.Normalize(mean, std)``.

    Example:
        >>> import torch
        >>> from lightning_factorlens.capture import input_blocks
        >>> pixels = torch.rand(2, 1, 3, 3)
        >>> (block,) = input_blocks((pixels - 0.5) / 0.25)
        >>> (restored,) = Denormalize(mean=[0.5], std=[0.25])(block)
        >>> torch.allclose(restored.samples, pixels.flatten(1), atol=1e-6)
        True

    Attributes:
        mean: One number for each channel.
        std: One positive number for each channel.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        are_lists = all(isinstance(numbers, (list, tuple)) for numbers in (self.mean, self.std))
        if (
            not are_lists
            or len(self.mean) != len(self.std)
            or not all(map(is_number, (*self.mean, *self.std)))
            or not all(s > 0 for s in self.std)
        ):
            raise ValueError(
                f"Denormalize: found mean={self.mean} and std={self.std}; both need a list of one number for each "
                "channel, and those of std must be positive. Pass the constants of transforms.Normalize."
            )

    def __call__(self, block: Block) -> list[Block]:
        """Returns one block; rounding errors below zero are cut off.

        Raises:
            ValueError: A channel without constants, or constants that cannot be those of the normalisation.
        """
        channel = int(block.name.rpartition("/")[2])
        if channel >= len(self.mean):
            raise ValueError(
                f"Denormalize: found constants of {len(self.mean)} channels, but the probe has a channel {channel}; "
                "pass one number for each channel."
            )
        pixels = torch.add(torch.tensor(self.mean[channel]), block.samples, alpha=self.std[channel])
        lowest = float(pixels.min())
        if lowest < -1e-2 * float(pixels.max()):
            raise ValueError(
                f"Denormalize: channel {channel} has a minimum of {lowest:.3g} after x·{self.std[channel]} + "
                f"{self.mean[channel]}, so these are not the constants of its normalisation; pass those of "
                "transforms.Normalize, or another `input_sign_policy`."
            )
        return [replace(block, samples=pixels.clamp_min(0).to(block.samples))]


#: Policies whose result for some columns of a block is that part of their result for the whole block.
ELEMENTWISE = (Rectify, Split, KeepSigned)
POLICIES: dict[str, SignPolicy] = {"rectify": Rectify(), "split": Split(), "semi": KeepSigned(), "shift": SubtractMin()}


def resolve_sign_policy(argument: str, value: str | SignPolicy) -> SignPolicy:
    """Finds the policy of a name.

    Args:
        argument: Name of the argument, for the message.
        value: A name in `POLICIES`, or a policy.

    Returns:
        The policy of that name, or ``value`` itself.

    Raises:
        ValueError: An unknown name, a class in place of an object, or a policy for inputs applied to layers.

    Example:
        >>> resolve_sign_policy("activation_sign_policy", "split")
        Split()
    """
    if isinstance(value, str):
        if value not in POLICIES:
            allowed = ", ".join(map(repr, POLICIES))
            raise ValueError(
                f"{argument}: found {value!r}, allowed are {allowed}, or an object such as Denormalize(mean, std)."
            )
        return POLICIES[value]
    if isinstance(value, Denormalize) and argument != "input_sign_policy":
        raise ValueError(
            f"{argument}: Denormalize undoes the normalisation of inputs and cannot be applied to layers; "
            "pass it as `input_sign_policy=`."
        )
    if not callable(value) or isinstance(value, type):
        raise ValueError(
            f"{argument}: found {value!r}; give a name or an object that turns a Block into a list of Blocks."
        )
    return value


def apply_sign_policy(block: Block, policy: SignPolicy, lowest: float | None = None) -> list[Block]:
    """Applies a policy where it is needed: a block without negative values stays as it is.

    Args:
        block: A whole block, or some columns of one.
        policy: Applied to a block with negative values; `Denormalize` is applied to every block.
        lowest: The smallest value of the whole block; computed from ``block`` unless given.

    Returns:
        The blocks to factorise.

    Example:
        >>> block = Block("relu", "activation", torch.tensor([[0.0, 2.0]]), (2,))
        >>> apply_sign_policy(block, Split())[0] is block
        True
    """
    if isinstance(policy, Denormalize):
        return policy(block)
    if lowest is None:
        lowest = float(block.samples.min())
    if lowest >= 0:
        return [block]
    return policy(block)
