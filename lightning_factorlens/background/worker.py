"""A thread beside the training thread, on which spectra are computed and figures are drawn."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")

#: Seconds after which another thread may take the interpreter while there is background work. The default is 5 ms, for
#: which the training thread would wait after every operation that releases the interpreter: drawing would then stop it
#: for as long as if it drew itself.
SWITCH_INTERVAL = 1e-4
#: Seconds for which the end of the interpreter waits for work that has begun.
EXIT_SECONDS = 10.0


class Task(Generic[T]):
    """Work that has been handed to a `BackgroundWorker`.

    Args:
        work: The work, called once on the worker's thread.

    Attributes:
        seconds: Processor seconds that the work has taken on its thread; 0 until it is done.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._done = threading.Event()
        self._process = os.getpid()
        self._value: list[T] = []
        self._error: BaseException | None = None
        self.seconds = 0.0

    @property
    def is_done(self) -> bool:
        """Whether the work has ended, also with an error."""
        return self._done.is_set()

    def run(self) -> None:
        """Does the work; its error is kept for `result`."""
        assert self._work is not None
        start = time.thread_time()
        try:
            self._value.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self._work = None  # what it holds, such as copies of weights, is no longer needed
            self.seconds = time.thread_time() - start
            self._done.set()

    def wait(self) -> float:
        """Waits for the work.

        Returns:
            The seconds for which it has waited.

        Raises:
            RuntimeError: This process was forked from the one that has the worker's thread, before the work was done.
        """
        if not self.is_done and os.getpid() != self._process:
            raise RuntimeError("background work cannot be waited for in a process that was forked before it was done.")
        start = time.perf_counter()
        self._done.wait()
        return time.perf_counter() - start

    def result(self) -> T:
        """Waits for the work and returns its result.

        Raises:
            RuntimeError: As `wait` raises it.
            BaseException: What the work has raised.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]


class BackgroundWorker:
    """One thread that does work in the order in which it is handed over; it is started with the first work.

    Its torch operations use one thread of the processor, since those of the training are busy. The thread counts of
    all other threads stay as they are.

    Example:
        >>> worker = BackgroundWorker()
        >>> task = worker.submit(lambda: 6 * 7)
        >>> task.result()
        42
        >>> worker.close()
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def __reduce__(self) -> tuple[type[BackgroundWorker], tuple[()]]:
        return BackgroundWorker, ()  # a copy has a thread of its own

    @property
    def can_wait(self) -> bool:
        """Whether the caller may wait for work: not on the worker's own thread."""
        return threading.current_thread() is not self._thread

    def submit(self, work: Callable[[], T]) -> Task[T]:
        """Hands over some work.

        Args:
            work: The work. It must neither call collective operations nor use global random states.

        Returns:
            The task, whose result can be waited for.
        """
        if self._thread is None or not self._thread.is_alive():
            self._start()
        task = Task(work)
        self._queue.put(task)
        return task

    def _start(self) -> None:
        self._queue = SimpleQueue()
        ready = threading.Event()
        n_threads = torch.get_num_threads()
        self._thread = threading.Thread(target=_serve, args=(self._queue, ready), name="factorlens", daemon=True)
        self._thread.start()
        ready.wait()
        # torch's setting is one of the calling thread, and that of all threads which begin later: give them the old.
        restoring = threading.Thread(target=torch.set_num_threads, args=(n_threads,))
        restoring.start()
        restoring.join()
        self._finalizer = weakref.finalize(self, _stop, self._queue, self._thread, EXIT_SECONDS)

    def close(self) -> None:
        """Ends the thread after all work that was handed over; `submit` starts another one."""
        if self._finalizer is not None:
            self._finalizer.detach()
            assert self._thread is not None
            _stop(self._queue, self._thread)
        self._finalizer = None
        self._thread = None


def _serve(queue: SimpleQueue[Task[Any] | None], ready: threading.Event) -> None:
    """The worker's thread."""
    torch.get_num_threads()  # the first call in a thread gives it the number of the process: it must not come later
    torch.set_num_threads(1)
    ready.set()
    while True:
        task = queue.get()
        if task is None:
            return
        with _short_switch_interval():
            task.run()
        del task  # the thread must not keep its result until there is other work


def _stop(queue: SimpleQueue[Task[Any] | None], thread: threading.Thread, seconds: float | None = None) -> None:
    queue.put(None)
    if thread is not threading.current_thread():
        thread.join(seconds)


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Shortens the time after which threads take turns; afterwards it is what it was, unless it has been set since."""
    before = sys.getswitchinterval()
    short = min(before, SWITCH_INTERVAL)
    sys.setswitchinterval(short)
    set_here = sys.getswitchinterval()
    try:
        yield
    finally:
        if sys.getswitchinterval() == set_here:
            sys.setswitchinterval(before)
