"""What functions of the user refer to: closures, defaults, attributes, and the global variables that they use."""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

from lightning_factorlens.isolation.saved_objects import MISSING
from lightning_factorlens.isolation.state_boundary import is_own_function

#: Folders of installed packages, whose functions are not searched for global variables.
LIBRARY_FOLDERS = frozenset(["site-packages", "dist-packages"])


class SavedVariables:
    """Global variables of a Python module.

    Args:
        namespace: The variables of that module, by name.
        names: The names of those that are saved.
    """

    def __init__(self, namespace: dict[str, Any], names: Iterable[str]) -> None:
        self.namespace = namespace
        self.values = {name: namespace.get(name, MISSING) for name in names}
        self.children = [value for value in self.values.values() if not isinstance(value, ModuleType)]

    def restore(self) -> None:
        """Restores the variables; one that did not exist is removed."""
        for name, value in self.values.items():
            if self.namespace.get(name, MISSING) is value:
                continue
            if value is MISSING:
                del self.namespace[name]
            else:
                self.namespace[name] = value


def function_parts(function: Any) -> list[Any]:
    """What a function refers to: the variables of its closure and its defaults, the object of a method.

    Args:
        function: A function, a method or a ``functools.partial``.

    Returns:
        The objects; none for a function of the standard library or of a package that holds no state of models.
    """
    if isinstance(function, MethodType):
        return [function.__self__, function.__func__]
    if isinstance(function, partial):
        return [function.func, function.args, function.keywords]
    if not is_own_function(function):
        return []
    return [*(function.__closure__ or ()), function.__defaults__, function.__kwdefaults__, function.__dict__]


def global_variables(function: Any) -> SavedVariables | None:
    r"""Saves the global variables that the code of a function names.

    Args:
        function: A function, a method or a ``functools.partial``.

    Returns:
        The saved variables; None where there are none, and for functions of installed packages.

    Example:
        >>> namespace = {"calls": 3}
        >>> exec("def count():\n    global calls\n    calls += 1", namespace)
        >>> saved = global_variables(namespace["count"])
        >>> namespace["count"]()
        >>> saved.restore()
        >>> namespace["calls"]
        3
    """
    if not isinstance(function, FunctionType) or not _is_users(function):
        return None
    names, _ = _names_of(function.__code__)
    namespace = function.__globals__
    found = []
    for name in names:
        is_builtin = name not in namespace and name in vars(builtins)
        if not is_builtin:
            found.append(name)
    return SavedVariables(namespace, found) if found else None


def called_functions(kind: type) -> list[FunctionType]:
    """The user's functions that a forward pass may call on objects of a class.

    Args:
        kind: A class. Of a module those functions count that ``forward`` calls by their names, directly or not; of any
            other class, all.

    Returns:
        The functions, without their decorators.
    """
    functions: dict[str, FunctionType] = {}
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            function = _function_of(value)
            if function is not None and _is_users(function):
                functions[name] = function
    if not issubclass(kind, nn.Module):
        return list(functions.values())
    reached: list[FunctionType] = []
    todo = [functions.pop(name) for name in ("forward", "__call__") if name in functions]
    while todo:
        function = todo.pop()
        reached.append(function)
        _, attributes = _names_of(function.__code__)
        todo += [functions.pop(name) for name in attributes if name in functions]
    return reached


def _function_of(value: Any) -> FunctionType | None:
    """The function behind an entry of a class: a method, a property or a decorated function."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if not isinstance(value, FunctionType):
        return None
    unwrapped: Any = inspect.unwrap(value)
    return unwrapped if isinstance(unwrapped, FunctionType) else value


def _is_users(function: FunctionType) -> bool:
    """Whether a function is part of a user's script or project, not of an installed package."""
    return not _is_installed(function.__code__.co_filename) and is_own_function(function)


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    """Whether a file of code lies in a folder of installed packages; asked for every method at every observation."""
    return not LIBRARY_FOLDERS.isdisjoint(PurePath(file).parts)


@lru_cache(maxsize=4096)
def _names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the global variables and of the attributes that some code uses, nested functions included."""
    variables: set[str] = set()
    attributes: set[str] = set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname.endswith("_GLOBAL"):
            variables.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_variables, inner_attributes = _names_of(constant)
            variables |= inner_variables
            attributes |= inner_attributes
    return frozenset(variables), frozenset(attributes)
