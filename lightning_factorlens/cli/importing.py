"""Objects by their import path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from lightning_factorlens.cli.errors import CommandError


def import_object(argument: str, path: str) -> Any:
    """Imports what a path names.

    Args:
        argument: Name of the argument, for errors.
        path: ``package.module.Name`` or ``folder/file.py:Name``.

    Raises:
        CommandError: There is no such module, file or name, or the module fails when it is imported.

    Example:
        >>> import_object("--model", "torch.nn.ReLU").__name__
        'ReLU'
    """
    if ".py:" in path:
        file, name = path.rsplit(":", 1)
        module = _load_file(argument, Path(file))
    else:
        module_name, _, name = path.replace(":", ".").rpartition(".")
        if not module_name:
            raise CommandError(f"{argument}: found {path!r}; give package.module.Name or folder/file.py:Name.")
        module = _load_module(argument, module_name)
    if not hasattr(module, name):
        raise CommandError(f"{argument}: {module.__name__} has no {name!r}; give a class or function that it defines.")
    return getattr(module, name)


def _load_module(argument: str, name: str) -> ModuleType:
    sys.path.insert(0, "")  # the current folder, as for `python -m`
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{argument}: there is no module {error.name!r}; install it, or give file.py:Name."
        ) from error
    except Exception as error:
        raise CommandError(f"{argument}: importing {name} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")


def _load_file(argument: str, file: Path) -> ModuleType:
    if not file.is_file():
        raise CommandError(f"{argument}: there is no file {str(file)!r}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise CommandError(f"{argument}: {str(file)!r} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    folder = str(file.parent.resolve())
    sys.path.insert(0, folder)  # for what the file imports from beside it
    sys.modules[file.stem] = module  # dataclasses and pickles look a class's module up by its name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{argument}: running {file} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module
