"""What becomes of negative values, as objects: each turns one matrix into the blocks that are factorised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from lightning_factorlens.results import Block


class SignPolicy(Protocol):
    """Turns a block that may hold negative values into blocks that a factorisation takes."""

    def __call__(self, block: Block) -> list[Block]:
        """The blocks to factorise in its place."""


@dataclass(frozen=True)
class Rectify:
    """max(x, 0): what a ReLU behind the layer would see."""

    def __call__(self, block: Block) -> list[Block]:
        """One block."""
        return [replace(block, samples=block.samples.clamp_min(0))]


@dataclass(frozen=True)
class Split:
    """x = x⁺ − x⁻: two non-negative blocks, ``name/pos`` and ``name/neg``."""

    def __call__(self, block: Block) -> list[Block]:
        """Two blocks."""
        halves = (("pos", block.samples.clamp_min(0)), ("neg", (-block.samples).clamp_min(0)))
        return [replace(block, name=f"{block.name}/{half}", samples=x) for half, x in halves]


@dataclass(frozen=True)
class KeepSigned:
    """Leaves the values signed and lets the block's factor be signed too (semi-NMF, Ding, Li and Jordan 2010)."""

    def __call__(self, block: Block) -> list[Block]:
        """One signed block."""
        return [replace(block, signed=True)]


@dataclass(frozen=True)
class SubtractMin:
    """x − min x: undoes a normalisation whose constants are not known, up to scale."""

    def __call__(self, block: Block) -> list[Block]:
        """One block."""
        return [replace(block, samples=block.samples - block.samples.min())]


@dataclass(frozen=True)
class Denormalize:
    """x · std + mean, channel by channel: the pixels before ``transforms.Normalize(mean, std)``.

    Attributes:
        mean: One number a channel.
        std: One number a channel, positive.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
            raise ValueError(
                f"Unnormalize: mean and std need one number a channel, std positive; found {self.mean} and {self.std}."
            )

    def __call__(self, block: Block) -> list[Block]:
        """One block; rounding below zero is cut off."""
        channel = int(block.name.rpartition("/")[2])
        if channel >= len(self.mean):
            raise ValueError(f"Unnormalize: {len(self.mean)} channels given, the probe has a channel {channel}.")
        pixels = torch.add(torch.tensor(self.mean[channel]), block.samples, alpha=self.std[channel])
        lowest = float(pixels.min())
        if lowest < -1e-2 * float(pixels.max()):
            raise ValueError(
                f"Unnormalize: channel {channel} still reaches {lowest:.3g} after x·{self.std[channel]} + "
                f"{self.mean[channel]}: these are not the constants it was normalised with."
            )
        return [replace(block, samples=pixels.clamp_min(0).to(block.samples))]


#: Policies that give a part of a block what they give the whole.
ELEMENTWISE = (Rectify, Split, KeepSigned)
POLICIES: dict[str, SignPolicy] = {"rectify": Rectify(), "split": Split(), "semi": KeepSigned(), "shift": SubtractMin()}


def resolve_sign_policy(argument: str, value: str | SignPolicy) -> SignPolicy:
    """The policy of a name, or the object itself.

    Args:
        argument: Name of the argument, for the message.
        value: What the user gave.

    Raises:
        ValueError: An unknown name.
    """
    if isinstance(value, str):
        if value not in POLICIES:
            allowed = ", ".join(map(repr, POLICIES))
            raise ValueError(
                f"{argument}: found {value!r}, allowed are {allowed}, or an object such as Unnormalize(mean, std)."
            )
        return POLICIES[value]
    if isinstance(value, Denormalize) and argument != "input_sign_policy":
        raise ValueError(f"{argument}: Unnormalize undoes the normalisation of inputs; layers have none.")
    if not callable(value) or isinstance(value, type):
        raise ValueError(
            f"{argument}: found {value!r}; give a name or an object that turns a Block into a list of Blocks."
        )
    return value


def apply_sign_policy(block: Block, policy: SignPolicy, lowest: float | None = None) -> list[Block]:
    """Applies a policy where it is needed: a block without negative values stays as it is.

    Args:
        block: Whole, or a share of one.
        policy: What becomes of negative values.
        lowest: The smallest value of the whole block; looked up unless given.
    """
    if not isinstance(policy, Denormalize) and (float(block.samples.min()) if lowest is None else lowest) >= 0:
        return [block]
    return policy(block)
