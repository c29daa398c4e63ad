"""How the weights of a module are written to a file and read from it, under each kind of strategy of Lightning."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch import Trainer
from lightning.pytorch import __version__ as lightning_version
from lightning.pytorch.strategies import Strategy

#: Appended to the name of a file that is being written.
UNFINISHED = ".part"
#: Takes the present weights, as the module's ``state_dict`` has them, and returns those that are written.
Change = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class WeightsStore(ABC):
    """Writes and reads the weights of the module that a Trainer trains.

    Every method is called by all processes together. A file is a dictionary like a checkpoint of Lightning without
    optimizer states, hyperparameters and callbacks, so that ``Trainer.test(ckpt_path=…)`` reads it. No hook
    ``on_save_checkpoint`` or ``on_load_checkpoint`` is called.

    Args:
        trainer: The Trainer.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.strategy = trainer.strategy

    def content(self, change: Change | None = None) -> dict[str, Any]:
        """What is written: weights and buffers as the module's ``state_dict`` has them, and when they were so.

        Args:
            change: Returns weights to be written in place of the present ones; None for those.
        """
        weights: Mapping[str, Any] = self.strategy.lightning_module_state_dict()
        if change is not None:
            weights = change(weights)
        return {
            "epoch": self.trainer.current_epoch,
            "global_step": self.trainer.global_step,
            "pytorch-lightning_version": lightning_version,
            "state_dict": weights,
        }

    @abstractmethod
    def write(self, path: str, change: Change | None = None) -> None:
        """Writes the present weights, or others.

        Args:
            path: The file; its folder is created.
            change: Returns weights to be written in place of the present ones; None for those.
        """

    @abstractmethod
    def problem(self, path: str, is_trusted: bool) -> str:
        """Why the module cannot take the weights of a file.

        Args:
            path: The file.
            is_trusted: Whether this process has written it; from other files only tensors and plain types are read.

        Returns:
            The reason in words; empty if there is none.
        """

    @abstractmethod
    def load(self, path: str, is_trusted: bool) -> None:
        """Puts the weights of a file into the module, which keeps its devices and dtypes.

        Args:
            path: A file without a `problem`.
            is_trusted: As for `problem`.
        """


class WholeWeightsStore(WeightsStore):
    """For strategies under which each process has all weights: the first process writes, every process reads."""

    def write(self, path: str, change: Change | None = None) -> None:
        """Writes the file under another name and renames it, so that a killed process leaves no damaged file."""
        content = self.content(change)  # on every process, because modules may communicate in it
        if not self.trainer.is_global_zero:
            return
        files = get_filesystem(path)
        files.makedirs(os.path.dirname(path), exist_ok=True)
        unfinished = path + UNFINISHED
        try:
            with files.open(unfinished, "wb") as file:
                torch.save(content, file)
            files.mv(unfinished, path)
        except BaseException:
            with suppress(Exception):
                files.rm(unfinished)
            raise

    def problem(self, path: str, is_trusted: bool) -> str:
        """Compares names and shapes with those of the module, after reading the file."""
        if not get_filesystem(path).exists(path):
            return f"there is no file {path}"
        saved = self._read(path, is_trusted).get("state_dict")
        if not isinstance(saved, Mapping):
            return f"{path} has no weights"
        present = self.strategy.lightning_module_state_dict()
        for name in sorted(saved.keys() ^ present.keys()):
            place = "the file" if name in saved else "the module"
            return f"{path} belongs to another model: only {place} has {name!r}"
        for name, value in saved.items():
            shapes = [tuple(getattr(each, "shape", ())) for each in (value, present[name])]
            if shapes[0] != shapes[1]:
                return f"{path} belongs to another model: {name!r} has shape {shapes[0]}, in the module {shapes[1]}"
        return ""

    def load(self, path: str, is_trusted: bool) -> None:
        """Reads the file in every process."""
        module = self.trainer.lightning_module
        self.strategy.load_model_state_dict(self._read(path, is_trusted), strict=module.strict_loading)

    def _read(self, path: str, is_trusted: bool) -> dict[str, Any]:
        with get_filesystem(path).open(path, "rb") as file:
            content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=not is_trusted)
        return content


class ShardedWeightsStore(WeightsStore):
    """For strategies that save checkpoints in a way of their own: all processes write and read together.

    Depending on the strategy's options the "file" is a folder with one file a process.
    """

    def write(self, path: str, change: Change | None = None) -> None:
        """Lets the strategy write a checkpoint that has weights only."""
        self.strategy.save_checkpoint(self.content(change), path)
        self.strategy.barrier()

    def problem(self, path: str, is_trusted: bool) -> str:
        """Looks whether the file exists; reading it would change the module."""
        return "" if get_filesystem(path).exists(path) else f"there is no file {path}"

    def load(self, path: str, is_trusted: bool) -> None:
        """Lets the strategy read the checkpoint, which has nothing for the optimizers."""
        with _without_optimizers(self.strategy):
            content = self.strategy.load_checkpoint(path)
        self.strategy.load_model_state_dict(content, strict=self.trainer.lightning_module.strict_loading)


@contextmanager
def _without_optimizers(strategy: Strategy) -> Iterator[None]:
    """Takes the optimizers away from a strategy that would look for their states in the checkpoint."""
    optimizers = strategy.optimizers
    strategy.optimizers = []
    try:
        yield
    finally:
        strategy.optimizers = optimizers


def weights_store(trainer: Trainer) -> WeightsStore:
    """The store for the strategy of a Trainer.

    Args:
        trainer: The Trainer.
    """
    return WholeWeightsStore(trainer) if is_whole(trainer) else ShardedWeightsStore(trainer)


def is_whole(trainer: Trainer) -> bool:
    """Whether each process has all weights, and checkpoints are written in Lightning's way.

    Args:
        trainer: The Trainer.
    """
    return type(trainer.strategy).save_checkpoint is Strategy.save_checkpoint
