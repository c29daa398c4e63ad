"""The parts of a model's output that have one row for each sample, and how they were computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lightning_factorlens.capture.autograd_graph import Signature, signature
from lightning_factorlens.linalg.row_sums import sums_to_one

#: Results of softmax that are kept for the comparison with the outputs: the last ones.
MAX_SOFTMAXES = 16


@dataclass(frozen=True)
class OutputPart:
    """A tensor of the output.

    Attributes:
        path: Its keys and positions, joined by dots; empty for an output that is one tensor.
        shape: Shape for one sample.
        signature: How it was computed; None where autograd has not recorded it.
        softmax_axis: The axis whose softmax or log-softmax it is, from 0, samples first; None for none.
        is_probability: Whether it is a softmax or a sigmoid and no logarithm of one, or has the values of a softmax.
    """

    path: str
    shape: tuple[int, ...]
    signature: Signature | None = None
    softmax_axis: int | None = None
    is_probability: bool = False

    @property
    def is_matrix(self) -> bool:
        """Whether it has the shape of class scores, (N, K ≥ 2)."""
        return len(self.shape) == 1 and self.shape[0] >= 2

    @property
    def is_dense(self) -> bool:
        """Whether it has further axes: positions or tokens."""
        return len(self.shape) >= 2


def find_parts(output: Any, n_samples: int) -> dict[str, Tensor]:
    """The floating-point tensors of an output with one row for each sample, by their paths.

    Args:
        output: A tensor, or tensors in dictionaries, lists, tuples and dataclasses.
        n_samples: Number of samples.

    Example:
        >>> output = {"age": torch.zeros(4, 1), "masks": [torch.zeros(4, 3, 8, 8), torch.zeros(2)]}
        >>> {path: tuple(tensor.shape) for path, tensor in find_parts(output, 4).items()}
        {'age': (4, 1), 'masks.0': (4, 3, 8, 8)}
    """
    parts = {}
    for path, tensor in _leaves(output, ()):
        if tensor.ndim >= 1 and tensor.shape[0] == n_samples and tensor.is_floating_point():
            parts[".".join(path)] = tensor
    return parts


def largest_change(larger: Mapping[str, Tensor], smaller: Mapping[str, Tensor]) -> float:
    """How much the outputs of some samples change when fewer samples pass with them.

    Args:
        larger: The parts for some samples.
        smaller: Those for the first of these samples.

    Returns:
        The largest norm of a difference, relative to the norm; parts of other shapes, and NaN, do not count.

    Example:
        >>> largest_change({"": torch.tensor([[1.0], [2.0]])}, {"": torch.tensor([[3.0]])})
        2.0
    """
    largest = 0.0
    for path, fewer in smaller.items():
        if path in larger and larger[path].shape[1:] == fewer.shape[1:]:
            same = larger[path][: len(fewer)].double()
            change = float((fewer.double() - same).norm() / same.norm())
            largest = change if change > largest else largest
    return largest


def _leaves(output: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(output, Tensor):
        yield path, output
    elif isinstance(output, Mapping):
        items = list(output.items())
    elif isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", range(len(output)))
        items = list(zip(names, output))
    elif is_dataclass(output) and not isinstance(output, type):
        items = [(entry.name, getattr(output, entry.name)) for entry in fields(output)]
    for key, part in items:
        yield from _leaves(part, (*path, str(key)))


def inspect_outputs(
    model: nn.Module, forward: Callable[[Any], Any], batch: Any, n_samples: int
) -> tuple[OutputPart, ...]:
    """Passes a few samples through the model and describes the parts of its output.

    Args:
        model: In eval mode; with gradients enabled the parts have signatures.
        forward: Calls the model on a batch.
        batch: The samples.
        n_samples: Their number.

    Returns:
        The parts, in the order of the output.
    """
    with _SoftmaxRecorder() as recorder:
        output = forward(batch)
    # Now, because FSDP has replaced the parameters of the outermost unit, as in a training step.
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parts = []
    for path, tensor in find_parts(output, n_samples).items():
        found = None
        if tensor.grad_fn is not None:
            found = signature((tensor.grad_fn, tensor.output_nr), names)
        axis, is_softmax = recorder.find(tensor)
        is_sigmoid = found is not None and found.operations[:1] == ("Sigmoid",)
        is_probability = is_softmax or is_sigmoid or (axis is None and _has_probabilities(tensor))
        parts.append(OutputPart(path, tuple(tensor.shape[1:]), found, axis, is_probability))
    return tuple(parts)


def _has_probabilities(tensor: Tensor) -> bool:
    """Whether the values are those of a softmax over the classes, which was computed in some other way.

    The classes are along axis 1, or along the last one where there are positions or tokens.
    """
    if tensor.ndim < 2 or tensor.numel() == 0:
        return False
    return sums_to_one(tensor, 1) or (tensor.ndim > 2 and sums_to_one(tensor, -1))


@dataclass(frozen=True)
class _SoftmaxResult:
    """A result of softmax or log-softmax.

    Attributes:
        reference: Refers to the tensor without keeping it.
        axis: The axis of the softmax.
        is_softmax: Whether it is no logarithm.
        kept: The tensor itself where it is a matrix; the attention weights of a transformer are not kept.
    """

    reference: ref[Tensor]
    axis: int
    is_softmax: bool
    kept: Tensor | None


class _SoftmaxRecorder(TorchFunctionMode):
    """Notes the last results of softmax and log-softmax, with their axes; the last one is kept whatever its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.results: deque[_SoftmaxResult] = deque(maxlen=MAX_SOFTMAXES)
        self.last: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        name = getattr(func, "__name__", "")
        if name in ("softmax", "log_softmax") and isinstance(output, Tensor):
            dim = options.get("dim", args[1] if len(args) > 1 else None)
            if isinstance(dim, int) and output.ndim > 0:
                kept = output if output.ndim <= 2 else None
                self.results.append(_SoftmaxResult(ref(output), dim % output.ndim, name == "softmax", kept))
                self.last = output
        return output

    def find(self, tensor: Tensor) -> tuple[int | None, bool]:
        """The axis whose softmax or log-softmax a tensor is, also in another dtype, and whether it is no logarithm.

        The axis is None where it is a result of neither.
        """
        for result in reversed(self.results):
            found = result.reference()
            if found is None or found.shape != tensor.shape:
                continue
            if _are_equal(found.detach().to(tensor.dtype), tensor.detach()):
                return result.axis, result.is_softmax
        return None, False


def _are_equal(first: Tensor, second: Tensor) -> bool:
    """Whether all numbers are equal; NaN equals NaN, so that what a broken model returns is still a softmax."""
    return torch.equal(first, second) or torch.allclose(first, second, rtol=0.0, atol=0.0, equal_nan=True)
