"""Separates a process that reads the user's data from what it shares with its parent: memory, pipes, sockets, files."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from lightning_factorlens._private_api.data_loading import manager_value_key, replace_manager_calls
from lightning_factorlens.sampling.file_offsets import separate_file_offsets

#: Device and inode of a pipe or socket, which are equal in all processes.
Channel = tuple[int, int]
#: Beginnings of the paths of mappings that stay shared: devices, and the semaphores of locks.
KEPT_MAPPINGS = ("/dev/shm/sem.", "/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/infiniband", "/dev/char", "anon_inode:")
MAP_FIXED = 0x10


def open_channels() -> frozenset[Channel]:
    """The pipes and sockets that are open in this process, except the three standard streams."""
    channels = set()
    for descriptor in _descriptors():
        channel = _channel(descriptor)
        if channel is not None:
            channels.add(channel)
    return frozenset(channels)


def separate_process(channels: frozenset[Channel]) -> None:
    """Gives this child process copies of what it shares with its parent, so that reading changes nothing there.

    Memory that is shared by `multiprocessing` or torch, or mapped from files for writing, is replaced by private copies
    at the same addresses. Values of a ``multiprocessing.Manager`` are copied when they are first used. Pipes and
    sockets cannot be copied. Using them fails, see `is_channel_error`, so that no message of the parent is taken; what
    is written to a pipe is lost.

    Args:
        channels: The parent's `open_channels`, from before this process was made.
    """
    if sys.platform != "linux":
        return
    separate_file_offsets()
    replace_manager_calls(_CopiedValues)
    _close_channels(channels)
    _copy_shared_memory()


def _descriptors() -> list[int]:
    """The open files except the three standard streams; none where the system does not list them."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return []
    return [int(name) for name in names if int(name) > 2]


def _channel(descriptor: int) -> Channel | None:
    with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
        found = os.fstat(descriptor)
        if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            return found.st_dev, found.st_ino
    return None


def is_channel_error(error: BaseException) -> bool:
    """Whether an error, perhaps one from another process, comes of a pipe or socket that `separate_process` closed."""
    return f"[Errno {errno.EBADF}]" in str(error)


def _close_channels(channels: frozenset[Channel]) -> None:
    unusable = os.open(os.devnull, getattr(os, "O_PATH", os.O_WRONLY))
    ignored = os.open(os.devnull, os.O_WRONLY)
    for descriptor in _descriptors():
        if _channel(descriptor) in channels:
            is_written = _access_mode(descriptor) == os.O_WRONLY
            os.dup2(ignored if is_written else unusable, descriptor, inheritable=False)
    os.close(unusable)
    os.close(ignored)


def _access_mode(descriptor: int) -> int:
    import fcntl  # does not exist on Windows

    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE


# ---- memory


@dataclass(frozen=True)
class Mapping:
    """A part of the address space that is shared with other processes and writable.

    Attributes:
        start: First address.
        size: Number of bytes.
        offset: Position in the file.
        inode: Inode of the file; 0 for none.
        path: Path of the file.
    """

    start: int
    size: int
    offset: int
    inode: int
    path: str


def _shared_mappings() -> Iterator[Mapping]:
    with open("/proc/self/maps") as file:
        lines = file.read().splitlines()
    for line in lines:
        addresses, permissions, offset, _, inode, *path = line.split(maxsplit=5)
        name = path[0] if path else ""
        if permissions.startswith("rw") and permissions.endswith("s") and not name.startswith(KEPT_MAPPINGS):
            start, end = [int(address, 16) for address in addresses.split("-")]
            yield Mapping(start, end - start, int(offset, 16), int(inode), name)


def _copy_shared_memory() -> None:
    """Replaces shared memory by private memory of equal contents at the same addresses.

    A file is mapped anew, so that pages are copied only when they are written to. Memory without a file that can be
    opened is copied at once.
    """
    system = ctypes.CDLL(None, use_errno=True)
    system.mmap.restype = ctypes.c_void_p
    system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    private = mmap.MAP_PRIVATE | MAP_FIXED
    for mapping in list(_shared_mappings()):
        descriptor = _open_mapped(mapping)
        if descriptor is None:
            contents = ctypes.string_at(mapping.start, mapping.size)
            system.mmap(mapping.start, mapping.size, protection, private | mmap.MAP_ANONYMOUS, -1, 0)
            ctypes.memmove(mapping.start, contents, mapping.size)
        else:
            system.mmap(mapping.start, mapping.size, protection, private, descriptor, mapping.offset)
            os.close(descriptor)


def _open_mapped(mapping: Mapping) -> int | None:
    """A descriptor of the mapped file, which may have been deleted and still be open; None if there is none."""
    paths = [mapping.path, *(f"/proc/self/fd/{descriptor}" for descriptor in _descriptors())]
    for path in paths:
        with contextlib.suppress(OSError):
            found = os.stat(path)
            if stat.S_ISREG(found.st_mode) and found.st_ino == mapping.inode and os.path.realpath(path) == mapping.path:
                return os.open(path, os.O_RDONLY)
    return None


# ---- values of multiprocessing.Manager


class _CopiedValues:
    """Calls the methods of a manager's values on copies in this process.

    Args:
        original: ``(proxy, method) → result``: calls a method of the value in the manager's process.
    """

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original
        self.copies: dict[Hashable, Any] = {}

    def __call__(self, proxy: Any, name: str, args: Any = (), kwds: Any = None) -> Any:
        """Calls a method of the copy."""
        return getattr(self._copy_of(proxy), name)(*args, **(kwds or {}))

    def _copy_of(self, proxy: Any) -> Any:
        """The copy of a value; an error for locks, queues and other values that have none."""
        key = manager_value_key(proxy)
        if key not in self.copies:
            try:
                self.copies[key] = self.original(proxy, "#GETVALUE")
            except Exception as error:
                raise OSError(errno.EBADF, f"{type(proxy).__name__} of a multiprocessing.Manager") from error
        return self.copies[key]
