"""Reads in a forked process, which has a copy of everything in this one: closures, module globals, class attributes."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch

from lightning_factorlens.sampling.plain_pickle import from_bytes, to_bytes
from lightning_factorlens.sampling.seeding import seed_cpu
from lightning_factorlens.sampling.shared_state import Channel, open_channels, separate_process

#: Seconds without a sample after which the process is taken for blocked, e.g. by a lock that another thread held.
TIMEOUT_SECONDS = 60.0
#: Seconds in which the process may end by itself.
EXIT_SECONDS = 2.0


class Readable(Protocol):
    """Anything that yields items and reports how many samples they were made of."""

    def read(self, report: Callable[[int], None]) -> Iterator[Any]:
        """Yields the items."""


class RemoteTraceback(Exception):
    """The traceback of an error in another process, as text."""


def can_fork() -> bool:
    """Whether processes are forked here; elsewhere than on Linux system libraries do not support it."""
    return sys.platform == "linux"


def read_in_fork(reading: Readable, seed: int, report: Callable[[int], None]) -> list[Any]:
    """Reads all items in a forked process.

    Args:
        reading: What is read.
        seed: Seed of the process's global random states.
        report: Receives the number of samples that have been read.

    Returns:
        The items.

    Raises:
        TimeoutError: The process read no sample for `TIMEOUT_SECONDS`.
        ChildProcessError: The process ended early.
        AssertionError: This process is daemonic, so that it cannot have children.
        Exception: What reading raised in the process.
    """
    context: Any = multiprocessing.get_context("fork")
    channels = open_channels()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(reading, seed, sender, channels))
    is_complete = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks in a process with threads
            process.start()
        sender.close()
        items = list(_receive(receiver, process, report))
        is_complete = True
        return items
    finally:
        sender.close()
        receiver.close()
        if process.pid is not None:
            process.join(EXIT_SECONDS if is_complete else 0.0)
            process.kill()  # not terminate: a Trainer may have installed a handler of SIGTERM, which was inherited
            process.join()
            process.close()


def _serve(reading: Readable, seed: int, sender: Connection, channels: frozenset[Channel]) -> None:
    """The work of the forked process."""
    gc.disable()  # a garbage object of the parent may have a finalizer that acts outside of the process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too, and ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)  # the threads of OpenMP do not exist after a fork
    separate_process(channels)
    seed_cpu(seed)

    def send(kind: str, value: Any) -> None:
        sender.send_bytes(to_bytes((kind, value)))

    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        try:
            for item in reading.read(lambda count: send("read", count)):
                send("item", item)
            send("end", None)
        except BrokenPipeError:
            raise
        except Exception as error:
            send("error", (_portable(error), traceback.format_exc()))


def _portable(error: Exception) -> Exception:
    """The error itself, or one with its text if it cannot be sent."""
    try:
        from_bytes(to_bytes(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _receive(receiver: Connection, process: Any, report: Callable[[int], None]) -> Iterator[Any]:
    while True:
        ready = wait([receiver, process.sentinel], TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"the process that reads samples was blocked for {TIMEOUT_SECONDS:g} s")
        try:
            if not receiver.poll():
                raise EOFError
            kind, value = from_bytes(receiver.recv_bytes())
        except EOFError:
            process.join(EXIT_SECONDS)
            raise ChildProcessError(
                f"the process that reads samples ended early, with exit code {process.exitcode}"
            ) from None
        if kind == "end":
            return
        if kind == "read":
            report(value)
        elif kind == "item":
            yield value
        else:
            error, text = value
            raise error from RemoteTraceback(text)
