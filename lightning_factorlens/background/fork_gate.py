"""Keeps processes from being forked while a background thread may hold a lock of the interpreter.

A forked process, such as a worker of a ``DataLoader``, has copies of all locks and none of the other threads: a lock
that one of them held stays locked there. Drawing imports modules, each under a lock of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds for which a fork waits for units of background work.
MAX_WAIT_SECONDS = 10.0


class ForkGate:
    """Lets forks and units of background work exclude each other; several threads may work at once.

    Work should consist of short units, because a fork, and with it the training, waits for the end of one.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._working: set[int] = set()
        self._n_forks = 0

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Inside, no process is forked by other threads."""
        thread = threading.get_ident()
        with self._condition:
            self._condition.wait_for(lambda: self._n_forks == 0)
            self._working.add(thread)
        try:
            yield
        finally:
            with self._condition:
                self._working.discard(thread)
                self._condition.notify_all()

    def before_fork(self) -> None:
        """Waits for all units but one of the calling thread; no other begins until `after_fork`."""
        own = {threading.get_ident()}
        self._condition.acquire()
        self._n_forks += 1
        self._condition.wait_for(lambda: self._working <= own, MAX_WAIT_SECONDS)

    def after_fork(self) -> None:
        """Lets units begin again; called in both processes."""
        self._n_forks -= 1
        self._condition.notify_all()
        self._condition.release()

    def after_fork_in_child(self) -> None:
        """As `after_fork`, where no other thread exists."""
        self._working &= {threading.get_ident()}
        self.after_fork()


#: The gate of this process.
fork_gate = ForkGate()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(
        before=fork_gate.before_fork,
        after_in_parent=fork_gate.after_fork,
        after_in_child=fork_gate.after_fork_in_child,
    )
