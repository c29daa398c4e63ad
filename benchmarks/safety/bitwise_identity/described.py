"""What a Python object holds, as a tree of plain values that can be compared bit for bit."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import operator
import random
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

#: Objects that are compared elsewhere, or that no training depends on.
OPAQUE = (nn.Module, Trainer, Logger, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, type)
#: What every module and data module has; users' own attributes are the others.
COMMON_ATTRIBUTES = frozenset(vars(LightningModule())) | frozenset(vars(LightningDataModule()))


def describe(value: Any) -> Any:
    """Describes an object by copies of all values that it holds.

    Args:
        value: Any object: a dataset, a loader, a batch, a generator of random numbers, a function with what it
            encloses, an open file, an iterator, or containers of these.

    Returns:
        Numbers, strings, tensors and arrays in dictionaries and lists. Two objects that hold the same have equal
        descriptions, in which no address occurs.
    """
    return _Describer().describe(value)


def digest(value: Any) -> str:
    """A hash of the description of an object."""
    hasher = hashlib.sha1(usedforsecurity=False)
    for part in _leaves(describe(value)):
        hasher.update(part)
    return hasher.hexdigest()


def own_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module holds in its ``__dict__`` besides parameters, buffers, modules, and what Lightning puts there."""
    if _is_of_torch(module):  # the wrapper of a compiled module
        return {}
    return {name: value for name, value in vars(module).items() if name not in COMMON_ATTRIBUTES}


def _leaves(description: Any) -> Iterator[bytes]:
    if isinstance(description, Mapping):
        for key, value in description.items():
            yield repr(key).encode()
            yield from _leaves(value)
    elif isinstance(description, (list, tuple)):
        yield f"{len(description)} values".encode()
        for value in description:
            yield from _leaves(value)
    elif isinstance(description, (Tensor, np.ndarray)):
        array = torch.as_tensor(description).resolve_conj().contiguous()
        yield f"{array.dtype} {tuple(array.shape)}".encode()
        yield array.flatten().view(torch.uint8).numpy().tobytes()
    else:
        yield repr(description).encode()


class _Describer:
    """One description; an object that occurs several times is described once."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}  # the objects are kept, so that no other one gets the same id meanwhile

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            return value
        if isinstance(value, Tensor):
            return _copy_of_tensor(value)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return value.copy()
        if isinstance(value, OPAQUE) or _is_of_torch(value):
            return type(value).__name__
        if id(value) in self.seen:
            return "described above"
        self.seen[id(value)] = value
        state = self.state(value)
        if isinstance(value, (dict, list, tuple)):
            return state
        of_object = state if isinstance(state, dict) else {"state": state}
        return {"type": type(value).__name__, **of_object}

    def state(self, value: Any) -> Any:
        """The description of an object that holds others."""
        state = _random_state(value)
        if state is not None:
            return self.describe(state)
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: self.describe(part) for key, part in value.items()}
        if isinstance(value, Mapping):
            return [[self.describe(k), self.describe(v)] for k, v in value.items()]
        if isinstance(value, (list, tuple, deque, np.ndarray)):
            return [self.describe(part) for part in value]
        if isinstance(value, (set, frozenset)):
            return sorted(repr(part) for part in value)
        if isinstance(value, io.IOBase):
            return [value.closed, None if value.closed else value.tell()]
        if isinstance(value, itertools.count):
            return repr(value)
        if isinstance(value, DataLoader):
            return self.attributes({k: v for k, v in vars(value).items() if not k.startswith("_")})
        if callable(value) and not hasattr(value, "__dict__"):
            return self.describe(getattr(value, "__self__", None))
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial, functools._lru_cache_wrapper)):
            return self.function(value)
        if isinstance(value, Iterator):
            return self.iterator(value)
        return self.attributes(getattr(value, "__dict__", {}))

    def attributes(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The description of what an object holds."""
        return {name: self.describe(value) for name, value in values.items() if name not in COMMON_ATTRIBUTES}

    def function(self, function: Any) -> Any:
        """What a function encloses, and the object of a method."""
        if isinstance(function, functools._lru_cache_wrapper):
            return self.describe(tuple(function.cache_info()))
        if isinstance(function, functools.partial):
            return self.describe([function.func, function.args, function.keywords])
        if isinstance(function, types.MethodType):
            return self.describe(function.__self__)
        enclosed = []
        for cell in function.__closure__ or ():
            try:
                enclosed.append(cell.cell_contents)
            except ValueError:  # a name that has no value yet
                enclosed.append(None)
        return self.describe([enclosed, function.__defaults__, dict(vars(function))])

    def iterator(self, iterator: Iterator[Any]) -> Any:
        """How far an iterator has come."""
        if isinstance(iterator, types.GeneratorType):
            frame = iterator.gi_frame
            return None if frame is None else self.describe([frame.f_lasti, dict(frame.f_locals)])
        if hasattr(iterator, "__dict__"):
            return self.attributes(vars(iterator))
        return operator.length_hint(iterator, -1)


def _random_state(value: Any) -> Any:
    """The state of a generator of random numbers, None for another object."""
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, (np.random.RandomState, random.Random)):
        return value.get_state() if isinstance(value, np.random.RandomState) else value.getstate()
    if isinstance(value, torch.Generator):
        return value.get_state()
    return None


def _is_of_torch(value: Any) -> bool:
    """Whether an object is a compiled function or belongs to the inside of torch; a random generator does not."""
    is_compiled = isinstance(value, types.FunctionType) and hasattr(value, "_torchdynamo_orig_callable")
    is_inside = type(value).__module__.startswith("torch._") and not isinstance(value, torch.Generator)
    return is_compiled or is_inside


def _copy_of_tensor(tensor: Tensor) -> Any:
    if nn.parameter.is_lazy(tensor):
        return "uninitialized"
    copy = tensor.detach().clone()
    return copy if copy.layout == torch.strided else copy.to_dense()
