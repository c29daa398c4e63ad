"""The observations of a run, and their condensed form in checkpoints."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

import torch
from torch import Tensor

from lightning_factorlens.results._text import history_html
from lightning_factorlens.results.observation import Observation
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record
from lightning_factorlens.results.serialization import from_json, to_json

#: Largest number of past observations in a checkpoint.
MAX_HISTORY = 500
#: Largest number of observations that a notebook shows.
MAX_ROWS = 20
#: Observations whose lines are compressed together. The lines of one observation after the other differ in few places.
LINES_PER_CHUNK = 10
#: Observations of more numbers are condensed in checkpoints. A number takes about 8 bytes there.
MAX_NUMBERS = 400


class History(Sequence[Observation], Plottable):
    """The observations of a run without their tensors, oldest first.

    A checkpoint keeps at most `MAX_HISTORY` of them, and of an observation with more than `MAX_NUMBERS` numbers only
    what `Observation.condensed` keeps. They are compressed while the run goes on, and after a resume they are read at
    the first access, so that neither saving nor loading a checkpoint takes longer with every observation.

    Args:
        observations: The first observations.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> history = History([Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})])
        >>> resumed = History.from_state_dict(history.state_dict())
        >>> len(resumed), resumed[-1]
        (1, Observation of epoch 3 | consistency 0.5)
    """

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        self._observations: list[Observation] = []
        self._unread: _Unread | None = None
        self._chunks: list[Tensor] = []
        self._chunk_lengths: list[int] = []
        self._lines: list[str] = []  # of the observations that are in no chunk yet
        for observation in observations:
            self.append(observation)

    def _repr_html_(self) -> str:
        """One row for each of the last observations, with the numbers of the whole network, for notebooks."""
        return history_html(self[-MAX_ROWS:], len(self))

    def replace_last(self, observation: Observation) -> None:
        """Puts an observation in the place of the last one.

        Args:
            observation: The whole observation; its tensors are not kept.
        """
        self._read().pop()
        if not self._lines:
            self._lines = _decompress(self._chunks.pop())
            self._chunk_lengths.pop()
        self._lines.pop()
        self.append(observation)

    def append(self, observation: Observation) -> None:
        """Keeps an observation.

        Args:
            observation: The whole observation; its tensors are not kept.
        """
        kept = observation.without_tensors()
        self._observations.append(kept)
        has_many_numbers = next(islice(kept.values(), MAX_NUMBERS, None), None) is not None
        self._lines.append(to_json(kept.condensed() if has_many_numbers else kept))
        if len(self._lines) == LINES_PER_CHUNK:
            self._chunks.append(_compress(self._lines))
            self._chunk_lengths.append(len(self._lines))
            self._lines = []

    def __len__(self) -> int:
        n_unread = 0 if self._unread is None else self._unread.length
        return n_unread + len(self._observations)

    @overload
    def __getitem__(self, index: int) -> Observation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Observation]: ...
    def __getitem__(self, index: int | slice) -> Observation | list[Observation]:
        return self._read()[index]

    def __iter__(self) -> Iterator[Observation]:
        return iter(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def state_dict(self) -> dict[str, Any]:
        """The last observations, condensed where they are large, in plain types and tensors of bytes."""
        chunks = list(self._chunks)
        lengths = list(self._chunk_lengths)
        if self._lines:
            chunks.append(_compress(self._lines))
            lengths.append(len(self._lines))
        while sum(lengths[1:]) >= MAX_HISTORY:
            del chunks[0], lengths[0]
        return {"chunks": chunks, "lengths": lengths}

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Any], record_types: Mapping[str, type[Record]] | None = None
    ) -> History:
        """The history of a checkpoint, which is read at the first access.

        Args:
            state: From `state_dict`.
            record_types: The user's own record classes, by the names of their measurements.

        Raises:
            KeyError, TypeError, ValueError: ``state`` is not the state of a history.
        """
        chunks = list(state["chunks"])
        lengths = [int(length) for length in state["lengths"]]
        if len(chunks) != len(lengths) or not all(isinstance(chunk, Tensor) for chunk in chunks):
            raise ValueError("history: found a state of another form; resume from a checkpoint of this version.")
        history = cls()
        history._chunks = chunks
        history._chunk_lengths = lengths
        if chunks:
            history._unread = _Unread(tuple(chunks), min(sum(lengths), MAX_HISTORY), dict(record_types or {}))
        return history

    def _read(self) -> list[Observation]:
        """All observations; those of a checkpoint are read once."""
        unread = self._unread
        if unread is not None:
            self._unread = None  # what cannot be read is reported once and left out
            self._observations[:0] = unread.read()
        return self._observations


class _Unread:
    """Observations of a checkpoint that have not been read yet."""

    def __init__(self, chunks: tuple[Tensor, ...], length: int, record_types: Mapping[str, type[Record]]) -> None:
        self.chunks = chunks
        self.length = length
        self.record_types = record_types

    def read(self) -> list[Observation]:
        lines: list[str] = []
        for chunk in self.chunks:
            lines += _decompress(chunk)
        observations = []
        for line in lines[-self.length :]:
            observations.append(from_json(line, self.record_types))
        return observations


def _compress(lines: Sequence[str]) -> Tensor:
    """Lines as a tensor of bytes, which a checkpoint loaded with ``weights_only`` may contain."""
    text = "\n".join(lines).encode()
    return torch.frombuffer(bytearray(zlib.compress(text)), dtype=torch.uint8)


def _decompress(chunk: Tensor) -> list[str]:
    """The lines that `_compress` received."""
    return zlib.decompress(chunk.cpu().numpy().tobytes()).decode().splitlines()
