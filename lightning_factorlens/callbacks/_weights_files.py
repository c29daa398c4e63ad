"""The files in which `BestWeights` keeps weights: their folder and names, and when they are removed."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch import Trainer

from lightning_factorlens.callbacks._attempts import Attempts
from lightning_factorlens.callbacks._weights_store import UNFINISHED

EXTENSION = ".pt"


@dataclass(frozen=True)
class KeptWeights:
    """Weights in a file.

    Attributes:
        path: The file.
        epoch: The epoch of the observation that was made of them, counted from 1.
        step: Optimizer steps before that observation.
    """

    path: str
    epoch: int
    step: int


class WeightsFiles:
    """The files of one run; no file is ever overwritten, and none of another run is touched.

    A file that has been replaced is removed at once, unless the last checkpoint refers to it: then it is kept until a
    later checkpoint refers to others, because the run may be resumed from the last one. Files in other folders, as of
    the run that is resumed, are left.

    Args:
        name: First part of the names of the files, which distinguishes two callbacks of one Trainer.
        attempts: Does what may fail.

    Attributes:
        run_id: Part of the names of the files; a resumed run goes on with that of its checkpoint.
        folder: The folder; empty if it could not be found.
    """

    def __init__(self, name: str, attempts: Attempts) -> None:
        self.name = name
        self.run_id = _random_name()
        self.folder = ""
        self._attempts = attempts
        self._replaced: list[str] = []
        self._left_over: list[str] = []
        self._in_checkpoint: set[str] = set()

    def open(self, trainer: Trainer) -> None:
        """Finds the folder, and the files in it that a killed process of this run has left.

        Args:
            trainer: The Trainer; all of its processes call this together.
        """
        folder = ""

        def find() -> None:
            nonlocal folder
            folder = weights_folder(trainer)
            self._left_over = _files_of_run(folder, self.run_id)

        if trainer.is_global_zero:
            self._attempts.alone("could not find a folder for the weights", find)
        self.folder, self.run_id = trainer.strategy.broadcast((folder, self.run_id))

    def rename(self, trainer: Trainer) -> None:
        """Makes this another run, because the files of the resumed one do not belong to it.

        Args:
            trainer: The Trainer; all of its processes call this together.
        """
        self.run_id = trainer.strategy.broadcast(_random_name())
        self._left_over = []

    def new_path(self, trainer: Trainer, epoch: int) -> str:
        """The path of a new file, the same in all processes.

        Args:
            trainer: The Trainer; all of its processes call this together.
            epoch: The epoch of the weights, counted from 1.
        """
        name = re.sub(r"[^-\w.]", "_", self.name)
        path = os.path.join(self.folder, f"{name}-epoch={epoch}-{self.run_id}-{_random_name()}{EXTENSION}")
        return trainer.strategy.broadcast(path)

    def refer_to(self, paths: Collection[str]) -> None:
        """Notes the files that the last checkpoint names.

        Args:
            paths: The files.
        """
        self._in_checkpoint = set(paths)

    def replace(self, trainer: Trainer, path: str | None) -> None:
        """Notes that a file is not needed any more, and removes what can be removed.

        Args:
            trainer: The Trainer.
            path: The file; None if there is none.
        """
        if path is not None:
            self._replaced.append(path)
        removable = [each for each in self._replaced if each not in self._in_checkpoint]
        self._replaced = [each for each in self._replaced if each in self._in_checkpoint]
        for each in removable:
            if trainer.is_global_zero and os.path.dirname(each) == self.folder:
                self._attempts.alone(f"could not remove {each}", partial(_remove, each))

    def finish(self, trainer: Trainer, best: str | None) -> None:
        """Removes all files of this run but one.

        Args:
            trainer: The Trainer.
            best: The file that stays; None if none does.
        """
        self._in_checkpoint = set()
        self._replaced += [path for path in self._left_over if path != best]
        self._left_over = []
        self.replace(trainer, None)


def weights_folder(trainer: Trainer) -> str:
    """The folder in which ``ModelCheckpoint`` writes, or would write; to be asked in the first process.

    Args:
        trainer: The Trainer, whose loggers have been written to.
    """
    folder = getattr(trainer.checkpoint_callback, "dirpath", None)
    if folder:
        return _absolute(str(folder))
    if not trainer.loggers:
        return _absolute(os.path.join(trainer.default_root_dir, "checkpoints"))
    logger = trainer.loggers[0]
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    root = logger.save_dir or trainer.default_root_dir
    return _absolute(os.path.join(root, str(logger.name), version, "checkpoints"))


def paths_after_resume(path: str, checkpoint: str | os.PathLike[str] | None) -> list[str]:
    """Where a file may lie when a run is resumed, since the run's folder may have been copied or moved.

    Args:
        path: The file that the checkpoint names.
        checkpoint: The checkpoint; None if it is unknown.

    Example:
        >>> paths_after_resume("s3://old/best.pt", "s3://new/last.ckpt")
        ['s3://new/best.pt', 's3://old/best.pt']
    """
    if checkpoint is None:
        return [path]
    beside = _absolute(os.path.join(os.path.dirname(str(checkpoint)), os.path.basename(path)))
    return list(dict.fromkeys([beside, path]))


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.realpath(path)


def _random_name() -> str:
    """Eight random characters, without any of the generators that a training may use."""
    return uuid.uuid4().hex[:8]


def _files_of_run(folder: str, run_id: str) -> list[str]:
    """The files of a run in a folder, with those that a killed process has not finished."""
    files = get_filesystem(folder)
    if not files.exists(folder):
        return []
    endings = (EXTENSION, EXTENSION + UNFINISHED)
    names = [os.path.basename(str(path).rstrip("/")) for path in files.ls(folder, detail=False)]
    return [os.path.join(folder, name) for name in names if f"-{run_id}-" in name and name.endswith(endings)]


def _remove(path: str) -> None:
    """Removes a file, or the folder that a sharded strategy has written; nothing if it does not exist."""
    files = get_filesystem(path)
    if files.exists(path):
        files.rm(path, recursive=True)
