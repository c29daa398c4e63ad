"""Datasets over files that are opened where they are read. Imports torch alone, so that workers start quickly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from benchmarks.safety.bitwise_identity.situations.data import CLASSES

N_SAMPLES = 40


class Handle:
    """Stands for an open HDF5 file or LMDB environment: of one process, and impossible to pickle or to copy."""

    def __init__(self) -> None:
        self.process = os.getpid()

    def read(self, i: int) -> tuple[Tensor, int]:
        """A sample.

        Raises:
            OSError: Another process has opened the file.
        """
        if os.getpid() != self.process:
            raise OSError("a file handle of another process was used after a fork")
        generator = torch.Generator().manual_seed(i)
        return torch.rand(3, 8, 8, generator=generator), i % CLASSES

    def __reduce__(self) -> Any:
        raise TypeError("an open file cannot be pickled")


class LazyFile(Dataset[Any]):
    """Opens its file at the first sample, as is recommended for HDF5 with workers."""

    def __init__(self) -> None:
        self.file: Handle | None = None

    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if self.file is None:
            self.file = Handle()
        return self.file.read(i)


class WorkerFile(LazyFile):
    """Its file is opened by the loader's ``worker_init_fn`` alone; the main process cannot read."""

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if self.file is None:
            raise OSError("only workers have the file open")
        return self.file.read(i)


def open_in_worker(worker_id: int) -> None:
    """Opens the file of a worker's copy of the dataset."""
    info = get_worker_info()
    assert info is not None
    info.dataset.file = Handle()  # type: ignore[attr-defined]


class EagerFile(Dataset[Any]):
    """A binary file that was opened when the dataset was made; each sample is sought and read."""

    n_bytes = 3 * 8 * 8

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")

    def __len__(self) -> int:
        return N_SAMPLES

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        self.file.seek(i * self.n_bytes)
        pixels = torch.frombuffer(bytearray(self.file.read(self.n_bytes)), dtype=torch.uint8)
        return pixels.view(3, 8, 8) / 255, i % CLASSES


def write_pixels(folder: Path) -> Path:
    """Writes the samples of `EagerFile` and returns the path."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (N_SAMPLES * EagerFile.n_bytes,), generator=generator, dtype=torch.uint8)
    path = folder / "pixels.bin"
    path.write_bytes(pixels.numpy().tobytes())
    return path
