"""The losses that the code of a training step names: weak evidence, for graphs that do not show them."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType
from typing import Any

from torch import nn

#: Names of losses in code, and what they stand for. Any other name with "loss" in it that torch knows is another loss.
CROSS_ENTROPIES = frozenset(("cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss"))
#: Names of functions that compute similarities of samples, of which a contrastive loss takes a cross-entropy.
SIMILARITIES = frozenset(
    [
        "bmm",
        "cdist",
        "cosine_similarity",
        "einsum",
        "inner",
        "matmul",
        "mm",
        "mT",
        "normalize",
        "CosineSimilarity",
        "PairwiseDistance",
    ]
)


def losses_in_code(module: nn.Module) -> set[str]:
    """The losses that ``training_step`` names, in the methods that it calls and in the loss modules that it reads.

    Args:
        module: The object with the method ``training_step``.

    Returns:
        ``"cross-entropy"`` for every kind of it, the names of other losses, and ``"similarity"`` where products or
        similarities of tensors are computed.
    """
    losses = set()
    for name in _names(module):
        if name in CROSS_ENTROPIES:
            losses.add("cross-entropy")
        elif name in SIMILARITIES:
            losses.add("similarity")
        elif _is_loss(name):
            losses.add(name)
    return losses


def _is_loss(name: str) -> bool:
    is_known = hasattr(nn.functional, name) or hasattr(nn, name)
    return is_known and ("loss" in name.lower() or "cross_entropy" in name)


def _names(module: nn.Module) -> Iterator[str]:
    """The names in the code of ``training_step``, its methods, and the classes of the loss modules that it reads."""
    children = dict(module.named_children())
    todo = ["training_step"]
    seen = set(todo)
    while todo:
        for name in _names_in(getattr(type(module), todo.pop(), None)):
            yield name
            if name in seen:
                continue
            seen.add(name)
            held = children.get(name)
            if held is not None and type(held).__module__ == "torch.nn.modules.loss":
                yield type(held).__name__
            todo.append(name)


def _names_in(function: Any) -> Iterator[str]:
    """The names that a function and the functions inside it use; a matrix product counts as ``matmul``."""
    todo: list[Any] = [getattr(function, "__code__", None)]
    while todo:
        code = todo.pop()
        if isinstance(code, CodeType):
            yield from code.co_names
            todo += code.co_consts
            for instruction in dis.get_instructions(code):
                before_python_311 = instruction.opname.endswith("MATRIX_MULTIPLY")
                if before_python_311 or instruction.argrepr in ("@", "@="):
                    yield "matmul"
