"""The whole state of a model as Python knows it: attributes, containers, tensors, helper objects, generators.

The state is what can be reached from the model through attributes, slots, containers, weak references, the closures
of its hooks, attributes that its classes share, and the global variables that its ``forward`` names. `state_boundary`
says where that ends. What cannot be reached is not restored: files, generators and iterators, objects by which threads
and processes communicate, and objects of other libraries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Protocol
from weakref import ReferenceType

import numpy as np
import torch
from torch import Tensor, nn

from lightning_factorlens._private_api.modules import script_attributes
from lightning_factorlens._private_api.tensors import plain_tensor_operations, wrapped_tensors
from lightning_factorlens.isolation.function_state import called_functions, function_parts, global_variables
from lightning_factorlens.isolation.object_contents import HEAP_TYPE, SavedScript, save_class, save_contents, save_slots
from lightning_factorlens.isolation.saved_objects import SavedAttributes
from lightning_factorlens.isolation.state_boundary import is_entered, is_own_class
from lightning_factorlens.isolation.tensor_state import SavedTensor, StorageCopies, is_restorable, leaf_gradient

#: Types whose objects never change and hold nothing that does; most values of a model's attributes are of these.
CONSTANT_TYPES: frozenset[type] = frozenset(
    [type(None), bool, int, float, complex, str, bytes, type, range, torch.dtype, torch.device, torch.Size]
)


class Saved(Protocol):
    """A part of the state."""

    def restore(self) -> None:
        """Restores the part, if it has changed."""


class PythonState:
    """The state of a model at one moment.

    Args:
        model: The model, or any other object or container.
        parameters: Whether the values of parameters are copied. False where the caller knows that they are restored
            anyway.
        max_bytes: Largest size of tensors and arrays whose values are copied. Larger ones are taken to stay as they
            are, such as the data that a datamodule holds. None for no limit.

    Example:
        >>> class Counter(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.calls, self.seen = 0, []
        ...     def forward(self, x):
        ...         self.calls += 1
        ...         self.seen.append(x)
        ...         return x
        >>> model = Counter()
        >>> state = PythonState(model)
        >>> _ = model(torch.rand(2))
        >>> state.restore()
        >>> model.calls, model.seen
        (0, [])
    """

    def __init__(self, model: Any, *, parameters: bool = True, max_bytes: int | None = None) -> None:
        self._parameters = parameters
        self._max_bytes = math.inf if max_bytes is None else max_bytes
        self._copies = StorageCopies()
        self._saved: list[Saved] = []
        self._seen: dict[int, Any] = {}  # keeps the objects alive, so that no other one gets the id
        with plain_tensor_operations(), torch.no_grad():
            self._save(model)

    def restore(self) -> None:
        """Restores every part that has changed, also when some of them fail.

        Raises:
            Exception: The first error, after everything else was restored.
        """
        errors: list[BaseException] = []
        with plain_tensor_operations(), torch.no_grad():
            # Values last: before them, every tensor has its memory again.
            for saved in [*self._saved, *self._copies.restorers()]:
                try:
                    saved.restore()
                except BaseException as error:  # an interrupt must not leave the rest of the model changed
                    errors.append(error)
        if errors:
            raise errors[0]

    def _save(self, root: Any) -> None:
        """Saves an object and everything that can be reached from it."""
        todo = [root]
        while todo:
            value = todo.pop()
            if type(value) in CONSTANT_TYPES or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            try:
                children = list(self._children(value))
            except Exception:  # an object that cannot be read, such as a proxy of one that is gone
                continue
            for child in children:
                if type(child) not in CONSTANT_TYPES:
                    todo.append(child)

    def _children(self, value: Any) -> Iterable[Any]:
        """Saves one object.

        Returns:
            The objects that it refers to.
        """
        if isinstance(value, Tensor):
            return self._save_tensor(value)
        if isinstance(value, tuple):
            return [*value, *self._save_attributes(value)] if type(value) is not tuple else value
        is_large = isinstance(value, np.ndarray) and value.nbytes > self._max_bytes
        saved = None if is_large else save_contents(value)
        if saved is not None:
            self._saved.append(saved)
            if type(value).__flags__ & HEAP_TYPE:  # a subclass may have attributes besides its contents
                return [*saved.children, *self._save_attributes(value)]
            return saved.children
        if isinstance(value, (FunctionType, MethodType, partial)):
            return [*function_parts(value), *self._save_variables(value)]
        if isinstance(value, ReferenceType):
            return [value()]
        if is_entered(value):
            return self._save_attributes(value)
        return ()

    def _save_tensor(self, tensor: Tensor) -> Iterable[Any]:
        inner = wrapped_tensors(tensor)
        is_skipped = isinstance(tensor, nn.Parameter) and not self._parameters
        is_skipped = is_skipped or _n_bytes(tensor) > self._max_bytes
        if not inner and not is_skipped and is_restorable(tensor):
            self._saved.append(SavedTensor(tensor, self._copies))
        return [*inner, leaf_gradient(tensor), getattr(tensor, "__dict__", None)]

    def _save_attributes(self, value: Any) -> Iterable[Any]:
        """Saves the attributes of an object and of its class, and those of a module that Python does not show."""
        children: list[Any] = []
        with suppress(AttributeError):  # an object with slots only
            children.append(object.__getattribute__(value, "__dict__"))
        if isinstance(value, nn.Module):
            self._saved.append(SavedAttributes(value, ["__class__"], getattr))  # a lazy module changes its class
            children += self._save_script(value)
        if id(type(value)) not in self._seen:
            children += called_functions(type(value))
        for kind in type(value).__mro__:
            if is_own_class(kind):
                children += self._save_class(kind)
                children += self._keep(save_slots(value, kind))
        return children

    def _save_script(self, module: nn.Module) -> Iterable[Any]:
        """Saves the attributes of a scripted module, which are not in its ``__dict__``, nor are its submodules."""
        names = script_attributes(module)
        if not names:
            return ()
        saved = SavedScript(module, names)
        self._saved.append(saved)
        return [*saved.values.values(), *module.children()]

    def _save_class(self, kind: type) -> Iterable[Any]:
        """Saves the attributes that the objects of a class share, once."""
        if id(kind) in self._seen:
            return ()
        self._seen[id(kind)] = kind
        return self._keep(save_class(kind))

    def _keep(self, saved: SavedAttributes) -> Iterable[Any]:
        if saved.values:
            self._saved.append(saved)
        return saved.children

    def _save_variables(self, function: Any) -> list[Any]:
        """Saves the global variables that a function of the user names, and the attributes of classes among them."""
        saved = global_variables(function)
        if saved is None:
            return []
        self._saved.append(saved)
        children = list(saved.children)
        for child in saved.children:
            if isinstance(child, type) and is_own_class(child):
                children += self._save_class(child)
        return children


def _n_bytes(tensor: Tensor) -> int:
    is_strided = tensor.layout == torch.strided and not tensor.is_nested
    return tensor.numel() * tensor.element_size() if is_strided else 0
