"""Separates the reading position of files in a forked process from that of its parent."""

from __future__ import annotations

import contextlib
import os
import stat


def separate_file_offsets() -> None:
    """Gives this forked process a reading position of its own in every file that it has inherited.

    After a fork both processes share the position of each open file, so that a dataset over an open file would lose
    its place in the parent. Regular files are opened again at the same position. Files that are only written, and the
    three standard streams, keep the shared position: what two processes print must not overwrite each other.
    """
    with contextlib.suppress(ImportError, OSError):
        import fcntl  # does not exist on Windows

        for name in os.listdir("/proc/self/fd"):
            descriptor = int(name)
            if descriptor > 2:
                with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
                    _reopen(descriptor, fcntl.fcntl(descriptor, fcntl.F_GETFL))


def _reopen(descriptor: int, flags: int) -> None:
    is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not is_regular or flags & os.O_ACCMODE == os.O_WRONLY:
        return
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    private = os.open(f"/proc/self/fd/{descriptor}", flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
    try:
        os.lseek(private, position, os.SEEK_SET)
        os.dup2(private, descriptor, inheritable=os.get_inheritable(descriptor))
    finally:
        os.close(private)
