"""Observations as JSON lines: a file that a notebook, a script or another program reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lightning_factorlens.loggers.picture_lines import PictureLines, read_pictures, with_pictures
from lightning_factorlens.measurements import Measurement, record_types
from lightning_factorlens.results import Observation
from lightning_factorlens.results.serialization import from_json, to_json, with_decisions


def write_jsonl(observations: Iterable[Observation], path: str | PathLike[str]) -> None:
    """Writes one line for each observation, and the last pictures beside it; existing files are replaced.

    Args:
        observations: The observations of a run, e.g. ``callback.history``, which has no pictures.
        path: The file.

    Example:
        >>> import os, tempfile
        >>> from lightning_factorlens.results import Scalars
        >>> observation = Observation(epoch=3, step=300, records={"consistency": Scalars({"consistency": 0.5})})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "curves.jsonl")
        ...     write_jsonl([observation], path)
        ...     read_jsonl(path)
        [Observation of epoch 3 | consistency 0.5]
    """
    text = ""
    pictures = PictureLines(path)
    pictures.keep_before(None)
    for observation in observations:
        text += to_json(observation) + "\n"
        pictures.write(observation)
    Path(path).write_text(text, encoding="utf-8")


def read_jsonl(path: str | PathLike[str], measurements: Sequence[Measurement] = ()) -> list[Observation]:
    """Reads the observations of a file.

    Args:
        path: A file of `write_jsonl` or of a `JSONLinesSink`, whose file of pictures is read too. An unfinished last
            line, which a killed run leaves, is ignored.
        measurements: The user's own measurements that declare a record class.

    Returns:
        The observations, in the order of the lines.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not an observation; the error names the line.
    """
    return list(iterate_jsonl(path, measurements))


def iterate_jsonl(path: str | PathLike[str], measurements: Sequence[Measurement] = ()) -> Iterator[Observation]:
    """Reads the observations of a file one by one, for long runs of large networks, whose files have gigabytes.

    Args:
        path: See `read_jsonl`.
        measurements: See `read_jsonl`.

    Yields:
        The observations, in the order of the lines.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not an observation; the error names the line.
    """
    types = record_types(measurements)
    pictures = read_pictures(path)
    with Path(path).open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                observation = from_json(line, types)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: not an observation: {error}") from error
            yield with_pictures(observation, pictures)


class JSONLinesSink:
    """Writes every observation as a line of a file, with a logger or without one.

    A file never holds two observations of one step: the first line that a run writes removes the lines of its own step
    and of later ones. So a new run replaces the file, and a resumed run continues behind its checkpoint.

    The last pictures that measurements have made, such as those of concepts, are written to a file beside it, for
    ``curves.jsonl`` to ``curves.pictures``: about a megabyte. `read_jsonl` and ``factorlens report`` read it too.

    Args:
        path: The file; its folder is created.
        pictures: Whether to write the pictures. Where no measurement makes any, there is no such file.
    """

    def __init__(self, path: str | PathLike[str], pictures: bool = True) -> None:
        self.path = Path(path)
        self._pictures = PictureLines(self.path)
        self._writes_pictures = pictures
        self._is_open = False
        self._last_position: tuple[int, int] | None = None
        self._last_start = 0
        self._last_end = 0

    def write(self, observation: Observation) -> None:
        """Appends one line; the file is closed in between, so that it can be read while the run goes on.

        An observation that is written again, because it has been completed, replaces its line.
        """
        if not self._is_open:
            self._keep_earlier_lines(observation.step)
            self._last_position = None
            self._is_open = True
        self._put_line(_position(observation), to_json(observation))
        if self._writes_pictures:
            self._pictures.write(observation)

    def complete(self, observation: Observation) -> None:
        """Replaces the observation's line by one with its whole cost."""
        self.write(observation)

    def close(self) -> None:
        """Ends the run; the next observation starts another one."""
        self._is_open = False

    def amend(self, observation: Observation) -> None:
        """Puts its decisions into the observation's line, if it is the file's last line, from this sink.

        In a run that was resumed and has written no line yet, the line is that of the run before. It keeps its numbers,
        of which the checkpoint may have had a part only.
        """
        if not self.path.exists():
            return
        position = _position(observation)
        if not self._is_open and position != self._last_position:
            self._continue_behind(observation)
        elif position == self._last_position and self.path.stat().st_size == self._last_end:
            with self.path.open("rb") as file:
                file.seek(self._last_start)
                line = file.read().decode("utf-8")
            self._put_line(position, with_decisions(line, observation))

    def _continue_behind(self, observation: Observation) -> None:
        """Puts the decisions into the line of an observation in the file, and removes the lines behind it."""
        lines = _finished_lines(self.path.read_text(encoding="utf-8"))
        places = [place for place, line in enumerate(lines) if _position_of_line(line) == _position(observation)]
        if places:
            kept = [*lines[: places[-1]], with_decisions(lines[places[-1]], observation)]
            self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _put_line(self, position: tuple[int, int], line: str) -> None:
        """Appends a line, or replaces the last one if it belongs to the same observation."""
        with self.path.open("a", encoding="utf-8") as file:
            if position == self._last_position:
                file.truncate(self._last_start)
            else:
                self._last_start = self.path.stat().st_size
            file.write(line + "\n")
        self._last_end = self.path.stat().st_size
        self._last_position = position

    def _keep_earlier_lines(self, step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        kept = [line + "\n" for line in _finished_lines(text) if json.loads(line)["step"] < step]
        self.path.write_text("".join(kept), encoding="utf-8")
        self._pictures.keep_before(step)


def _position(observation: Observation) -> tuple[int, int]:
    return observation.epoch, observation.step


def _position_of_line(line: str) -> tuple[Any, Any]:
    content = json.loads(line)
    return content.get("epoch"), content.get("step")


def _finished_lines(text: str) -> list[str]:
    """The finished lines of a file's text."""
    return text.split("\n")[:-1]
