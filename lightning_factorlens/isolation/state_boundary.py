"""Which objects belong to a model's state, and which are only referred to by it."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

from torch import nn

#: Modules of the standard library whose classes are containers or bases of a user's classes.
CONTAINER_MODULES = frozenset(
    ["abc", "argparse", "collections", "contextlib", "dataclasses", "types", "typing", "weakref"]
)
#: Parts of torch whose objects a forward pass may change: quasi-random numbers, parameters of distributions, and
#: optimizers of what is fitted within a forward pass.
STATEFUL_TORCH_MODULES = ("torch.distributions.", "torch.optim.", "torch.quasirandom")
#: Libraries whose objects are not a model's state: they hold the run, its data or its figures.
FOREIGN_PACKAGES = frozenset(
    [
        "torch",
        "torchvision",
        "torchaudio",
        "lightning",
        "lightning_fabric",
        "lightning_factorlens",
        "pytorch_lightning",
        "numpy",
        "pandas",
        "polars",
        "pyarrow",
        "datasets",
        "PIL",
        "cv2",
        "h5py",
        "zarr",
        "matplotlib",
        "tensorboard",
        "wandb",
        "mlflow",
        "comet_ml",
        "neptune",
        "clearml",
        "aim",
        "ray",
        "deepspeed",
        "accelerate",
        "triton",
    ]
)


def is_entered(value: Any) -> bool:
    """Whether the attributes of an object belong to the state of a model that refers to it.

    Modules (metrics of torchmetrics included), objects of the user's own classes, and optimizers and schedulers that
    the model itself refers to do. A Trainer, loggers, datasets and loaders do not, nor does any other object whose
    class is derived from one of the standard library or of `FOREIGN_PACKAGES`.

    Args:
        value: Any object that is no container.

    Returns:
        True for an object whose ``__dict__`` and slots are part of the state.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch.utils.data import DataLoader
        >>> is_entered(SimpleNamespace(n=0)), is_entered(DataLoader([0, 1]))
        (True, False)
    """
    if isinstance(value, nn.Module):
        return True
    if isinstance(value, type):
        return False
    for kind in _bases(type(value)):
        is_container = _package(kind) in CONTAINER_MODULES
        is_stateful = str(kind.__module__).startswith(STATEFUL_TORCH_MODULES)
        if not (is_own_class(kind) or is_container or is_stateful):
            return False
    return True


def is_own_class(kind: type) -> bool:
    """Whether a class is neither of the standard library nor of one of `FOREIGN_PACKAGES`.

    Args:
        kind: A class.

    Returns:
        True for a class of the user, or of a library of models such as transformers.

    Example:
        >>> is_own_class(nn.Linear), is_own_class(dict)
        (False, False)
    """
    return _is_own_package(_package(kind))


def is_own_function(function: FunctionType) -> bool:
    """Whether a function is the user's, so that the variables of its closure may hold state.

    Args:
        function: A function that was written in Python.

    Returns:
        False for functions of the standard library and of `FOREIGN_PACKAGES`.

    Example:
        >>> from torch.nn.functional import relu
        >>> is_own_function(relu)
        False
    """
    return _is_own_package(str(function.__module__).partition(".")[0])


def _bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base is not object]


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]


def _is_own_package(package: str) -> bool:
    is_main = package == "__main__"  # a script's own classes; `sys.stdlib_module_names` does not list it everywhere
    return is_main or (package not in sys.stdlib_module_names and package not in FOREIGN_PACKAGES)
