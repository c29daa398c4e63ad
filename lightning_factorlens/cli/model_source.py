"""A model from the command line: a class or function by its import path, with the weights of a checkpoint."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_factorlens.cli.errors import CommandError
from lightning_factorlens.cli.importing import import_object

#: Entries under which training scripts keep the weights; Lightning uses the first one.
STATE_KEYS = ("state_dict", "model_state_dict", "model", "state", "net")


def load_model(path: str, arguments: Mapping[str, Any], checkpoint: str | None) -> nn.Module:
    """Builds a model and loads its weights.

    Args:
        path: Import path of a module, a class or a function that returns a module.
        arguments: Its arguments. Those that a Lightning checkpoint has saved as hyperparameters need not be given.
        checkpoint: File of `torch.save`, read with ``weights_only=True``; None keeps the initial weights. A prefix that
            a wrapper has put before every name is removed.

    Returns:
        The model, on the CPU, in evaluation mode.

    Raises:
        CommandError: The model cannot be built, or the file does not hold its weights.
    """
    saved = {} if checkpoint is None else read_checkpoint(checkpoint)
    model = _build(path, arguments, saved.get("hyper_parameters"))
    if checkpoint is not None:
        _load_weights(model, _state_dict(saved, checkpoint), checkpoint)
    return model.eval()


def build_untrained(path: str, arguments: Mapping[str, Any], checkpoint: str, seed: int) -> nn.Module:
    """Builds the model of a checkpoint with new initial weights.

    Args:
        path: See `load_model`.
        arguments: See `load_model`.
        checkpoint: The file; only the hyperparameters that it has saved are used.
        seed: Seed of the initial weights.

    Returns:
        The model, on the CPU, in evaluation mode.

    Raises:
        CommandError: As `load_model`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build(path, arguments, read_checkpoint(checkpoint).get("hyper_parameters"))
        if isinstance(import_object("--model", path), nn.Module):
            _initialize(model, path)
        return model.eval()


def read_checkpoint(checkpoint: str) -> Mapping[str, Any]:
    """The contents of a checkpoint, of which no code is run.

    Raises:
        CommandError: The file is missing, damaged, or holds more than weights and plain values.
    """
    if not Path(checkpoint).is_file():
        raise CommandError(f"checkpoint: there is no file {checkpoint!r}.")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        first_line = str(error).strip().split("\n")[0]
        raise CommandError(
            f"checkpoint: {checkpoint!r} cannot be read with weights_only=True ({type(error).__name__}: {first_line}); "
            "give a file that torch.save or a Trainer wrote, and save its weights alone if it holds other objects."
        ) from error
    if not isinstance(saved, Mapping):
        raise CommandError(f"checkpoint: {checkpoint!r} holds a {type(saved).__name__}; give one with a state dict.")
    return saved


def _build(path: str, arguments: Mapping[str, Any], hyperparameters: Any) -> nn.Module:
    found = import_object("--model", path)
    if isinstance(found, nn.Module):
        return copy.deepcopy(found)  # two checkpoints of one command are two models
    if not callable(found):
        raise CommandError(f"--model: {path} is a {type(found).__name__}; give a module, a class, or a function.")
    known = _accepted(found, hyperparameters) if isinstance(hyperparameters, Mapping) else {}
    try:
        model = _called(found, known, arguments)
    except Exception as error:
        raise CommandError(
            f"--model: {path} cannot be built ({type(error).__name__}: {error}); give its arguments, e.g. "
            "--model_args.num_classes 10."
        ) from error
    if not isinstance(model, nn.Module):
        raise CommandError(f"--model: {path} returns a {type(model).__name__}; give what returns a torch.nn.Module.")
    return model


def _called(function: Any, hyperparameters: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """What a function returns for a checkpoint's hyperparameters and the user's arguments.

    A function that takes any keyword passes on what another one refuses, such as torchvision's ``resnet18`` the
    hyperparameters of the LightningModule around it: then it is called with the user's arguments alone.
    """
    if not hyperparameters:
        return function(**arguments)
    try:
        return function(**{**hyperparameters, **arguments})
    except TypeError:
        return function(**arguments)


def _initialize(model: nn.Module, path: str) -> None:
    """Gives a model new initial weights, by the methods with which torch's layers make theirs."""
    for name, module in model.named_modules():
        has_weights = next(module.parameters(recurse=False), None) is not None
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif has_weights:
            raise CommandError(
                f"--model: {path} is a module, and its part {name or type(module).__name__!r} has no method "
                "reset_parameters that would make untrained weights; give the class or a function that builds it."
            )


def _accepted(function: Any, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that are arguments of a function."""
    parameters = inspect.signature(function).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in hyperparameters.items() if takes_all or name in parameters}


def _state_dict(saved: Mapping[str, Any], checkpoint: str) -> dict[str, Tensor]:
    for candidate in (*(saved.get(key) for key in STATE_KEYS), saved):
        if (
            isinstance(candidate, Mapping)
            and candidate
            and all(isinstance(value, Tensor) for value in candidate.values())
        ):
            return dict(candidate)
    raise CommandError(
        f"checkpoint: {checkpoint!r} has no state dict; its entries are {', '.join(map(str, list(saved)[:8]))}. Give a "
        "file whose entry 'state_dict' maps names to weights."
    )


def _load_weights(model: nn.Module, weights: dict[str, Tensor], checkpoint: str) -> None:
    own = model.state_dict()
    prefix = _common_prefix(list(own), weights)
    found = {}
    for name, value in weights.items():
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = value
    missing = [name for name in own if name not in found]
    others = [name for name in found if name not in own]
    reshaped = [name for name in own if name in found and own[name].shape != found[name].shape]
    if missing or others or reshaped:
        parts = []
        for names, text in (
            (missing, "missing in the file"),
            (others, "not in the model"),
            (reshaped, "of another shape"),
        ):
            if names:
                parts.append(f"{len(names)} {text} (first {names[0]!r})")
        raise CommandError(
            f"checkpoint: the weights in {checkpoint!r} are not those of the model: {', '.join(parts)}; give the class "
            "and the arguments with which it was trained."
        )
    model.load_state_dict(found)


def _common_prefix(own: list[str], weights: Mapping[str, Tensor]) -> str:
    """What a wrapper has put before every name of the model, such as ``"model."``; empty where there is nothing."""
    if not own or own[0] in weights:
        return ""
    for name in weights:
        if name.endswith("." + own[0]):
            prefix = name.removesuffix(own[0])
            if all(prefix + other in weights for other in own):
                return prefix
    return ""
