"""Whether a model still computes the same: sums over its values, made on the device on which they are."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import torch
from torch import Tensor, nn

#: Words of 32 bits that are multiplied at once: on a CPU they stay in its cache.
CPU_WORDS = 2**16
DEVICE_WORDS = 2**22
#: Types of attributes that a forward pass may depend on.
PLAIN_TYPES = (bool, int, float, str)


def model_fingerprint(model: nn.Module) -> Hashable:
    """A hash of everything that a forward pass of a model in evaluation mode reads from it.

    Every 32-bit word of parameters and buffers is multiplied by a random odd number of 64 bits, and the products are
    added up modulo 2⁶⁴ (Lemire and Kaser, 2014, "Strongly universal string hashing is fast"). A change of one word
    always changes the sum, and a change of several is missed with a probability of at most 2⁻³². No value leaves its
    device but the sums.

    Args:
        model: A model whose parameters and buffers are dense.

    Returns:
        An object that equals the one of a model with the same values and public attributes of plain types.

    Raises:
        ValueError: A parameter or buffer is not dense, or is quantised.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> before = model_fingerprint(model)
        >>> with torch.no_grad():
        ...     _ = model.weight[0].neg_()
        >>> model_fingerprint(model) == before
        False
    """
    sums: dict[torch.device, list[Tensor]] = {}
    with torch.inference_mode(False), torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            is_plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
            if not is_plain:
                raise ValueError(f"model: {name!r} is not dense, so that its values cannot be added up.")
            sums.setdefault(tensor.device, []).extend(_sums(tensor))
        numbers = [tuple(torch.stack(found).tolist()) for found in sums.values()]
    return (*numbers, *_plain_attributes(model))


def _sums(tensor: Tensor) -> list[Tensor]:
    """The sums over parts of a tensor."""
    content = tensor.detach().contiguous().flatten().view(torch.uint8)
    n_words = len(content) // 4
    size = CPU_WORDS if tensor.device.type == "cpu" else DEVICE_WORDS
    multipliers = _multipliers(size, tensor.device)
    parts: list[Tensor] = []
    if content.data_ptr() % 4 == 0:
        parts += content[: 4 * n_words].view(torch.int32).split(size)
        content = content[4 * n_words :]
    parts += content.split(size)
    found = []
    for part in parts:
        if len(part):
            found.append((part * multipliers[: len(part)]).sum())
    return found


@lru_cache(maxsize=8)
def _multipliers(size: int, device: torch.device) -> Tensor:
    """Random odd numbers of 64 bits; the global random states are not used."""
    generator = torch.Generator("cpu").manual_seed(0)
    drawn = torch.randint(-(2**63), 2**63 - 1, (size,), generator=generator, device="cpu")
    return (drawn | 1).to(device)


def _plain_attributes(model: nn.Module) -> list[Hashable]:
    """Public attributes of the modules that are numbers or words; not the mode, which is that of an evaluation."""
    found: list[Hashable] = []
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and name != "training" and isinstance(value, PLAIN_TYPES):
                found.append((path, name, value))
    return found
