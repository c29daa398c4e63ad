"""Results of a run that took place in child processes, for the process that started it.

Under ``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook`` Lightning trains in child processes with copies of the callbacks,
and returns only the weights and the callback metrics to the main process. A `SpawnResults` is part of a callback, and
so of its copies, which thereby share the path of a file: a child process writes it at the end of the run, and the
callback in the main process reads and removes it when its results are first asked for.
"""

from __future__ import annotations

import os
import tempfile
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.util import Finalize
from typing import Any

import torch
from lightning.pytorch import Trainer

from lightning_factorlens._private_api.trainer import trains_in_child_processes


class SpawnResults:
    """Transfers the results of one callback from a child process to the main process."""

    def __init__(self) -> None:
        self._path = os.path.join(tempfile.gettempdir(), f"lightning-factorlens-{uuid.uuid4().hex}.pt")
        self._is_child = False
        weakref.finalize(self, _remove, self._path, os.getpid())

    def __deepcopy__(self, memo: dict[int, Any]) -> SpawnResults:
        return SpawnResults()  # a copy of the callback in the same process has results of its own

    def begin(self, trainer: Trainer, end_run: Callable[[], None]) -> None:
        """Drops the results of an earlier run. To be called in ``setup``, which the main process does not call.

        Args:
            trainer: The Trainer.
            end_run: Called when a child process exits, since Lightning calls ``on_exception`` in the main process
                alone; it must do nothing if the run has already ended.
        """
        self._is_child = trains_in_child_processes(trainer)
        with suppress(OSError):
            os.remove(self._path)
        if self._is_child:
            Finalize(None, end_run, exitpriority=0)

    def write(self, trainer: Trainer, make: Callable[[], Any]) -> None:
        """Writes the results in the first child process of each machine; otherwise does nothing.

        Args:
            trainer: The Trainer.
            make: Returns the results in plain types and tensors.

        Raises:
            OSError: The file cannot be written.
        """
        if self._is_child and trainer.local_rank == 0:
            unfinished = f"{self._path}.part"
            torch.save(make(), unfinished)
            os.replace(unfinished, self._path)

    def take(self) -> Any:
        """Returns the results once, in the main process after the run; None where there are none."""
        if self._is_child or not os.path.exists(self._path):
            return None
        try:
            return torch.load(self._path, weights_only=True)
        finally:
            os.remove(self._path)


def _remove(path: str, owner: int) -> None:
    """Removes a file that was never read, in the process that is to read it."""
    if os.getpid() == owner:
        with suppress(OSError):
            os.remove(path)
