"""Whether a model still computes the same: sums over its values, made on the device on which they are."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import torch
from torch import Tensor, nn

#: Words of 32 bits that are multiplied by the same numbers.
ROW = 4096
WORD_BYTES = 4
#: Rows that are multiplied at once: on a CPU they stay in its cache.
CPU_ROWS = 32
DEVICE_ROWS = 1024
#: Types of attributes that a forward pass may depend on.
PLAIN_TYPES = (bool, int, float, str)


def model_fingerprint(model: nn.Module) -> Hashable:
    """A hash of everything that a forward pass of a model in evaluation mode reads from it.

    Every 32-bit word of parameters and buffers is multiplied by a random odd number of 64 bits, and the products are
    added up row by row modulo 2⁶⁴ (Lemire and Kaser, 2014, "Strongly universal string hashing is fast"). A change of
    one word always changes a sum, and a change of several is missed with a probability of at most 2⁻³². No value
    leaves its device but the sums.

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
        numbers = [torch.cat(found).cpu().numpy().tobytes() for found in sums.values()]
    return (*numbers, *_plain_attributes(model))


def _sums(tensor: Tensor) -> list[Tensor]:
    """The sums over the rows into which the bits of a tensor are divided, and over the rest, which is shorter."""
    content = tensor.detach().contiguous().flatten().view(torch.uint8)
    multipliers = _multipliers(tensor.device)
    found = []
    if content.data_ptr() % WORD_BYTES == 0:
        n_bytes = len(content) // WORD_BYTES * WORD_BYTES
        words = content[:n_bytes].view(torch.int32)
        n_words = len(words) // ROW * ROW
        is_host = tensor.device.type == "cpu"
        for rows in words[:n_words].view(-1, ROW).split(CPU_ROWS if is_host else DEVICE_ROWS):
            wide = rows.to(torch.int64)
            # There is no product of whole numbers with a vector on accelerators; on a CPU it is twice as fast.
            found.append(torch.mv(wide, multipliers) if is_host else (wide * multipliers).sum(1))
        rest = [words[n_words:], content[n_bytes:]]
    else:
        rest = list(content.split(ROW))
    for part in rest:
        if len(part):
            found.append((part * multipliers[: len(part)]).sum()[None])
    return found


@lru_cache(maxsize=8)
def _multipliers(device: torch.device) -> Tensor:
    """Random odd numbers of 64 bits; the global random states are not used."""
    generator = torch.Generator("cpu").manual_seed(0)
    drawn = torch.randint(-(2**63), 2**63 - 1, (ROW,), generator=generator, device="cpu")
    return (drawn | 1).to(device)


def _plain_attributes(model: nn.Module) -> list[Hashable]:
    """Public attributes of the modules that are numbers or words; not the mode, which is that of an evaluation."""
    found: list[Hashable] = []
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and name != "training" and isinstance(value, PLAIN_TYPES):
                found.append((path, name, value))
    return found
