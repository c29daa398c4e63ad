"""The last pictures of a run in a file beside its JSON lines, so that a report can show them without the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from lightning_factorlens.results import Observation, Record
from lightning_factorlens.results.serialization import from_json, pictures_of, pictures_to_json


class PictureLines:
    """A file with one line for each measurement that has made pictures: its last record.

    Args:
        path: The file of JSON lines that the pictures belong to.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = pictures_path(path)
        self._lines: dict[str, str] = {}
        self._records: dict[str, Record] = {}

    def write(self, observation: Observation) -> None:
        """Replaces the lines of the measurements that have made other pictures than before."""
        has_changed = False
        for name, record in pictures_of(observation).items():
            if self._records.get(name) is not record:
                alone = Observation(observation.epoch, observation.step, {name: record})
                self._lines[name] = pictures_to_json(alone)
                self._records[name] = record
                has_changed = True
        if has_changed:
            self._save()

    def keep_before(self, step: int | None) -> None:
        """Keeps the lines of earlier steps alone, before a run writes its first ones; None for no line at all."""
        self._records = {}
        self._lines = {}
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            if step is not None and content["step"] < step:
                self._lines[next(iter(content["records"]))] = line
        self._save()

    def _save(self) -> None:
        """Writes the file, or removes it where nothing is left."""
        if not self._lines:
            self.path.unlink(missing_ok=True)
            return
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.write_text("\n".join(self._lines.values()) + "\n", encoding="utf-8")
        unfinished.replace(self.path)


def pictures_path(path: str | PathLike[str]) -> Path:
    """The file of pictures that belongs to a file of JSON lines.

    Args:
        path: The file of JSON lines.

    Example:
        >>> pictures_path("run/curves.jsonl").name
        'curves.pictures'
    """
    return Path(path).with_suffix(".pictures")


def read_pictures(path: str | PathLike[str]) -> list[Observation]:
    """Reads the pictures beside a file of JSON lines.

    Args:
        path: The file of JSON lines.

    Returns:
        Observations that have the records with pictures alone; none where there is no such file.

    Raises:
        ValueError: The file of pictures is not one; the error names the line.
    """
    file = pictures_path(path)
    if not file.exists():
        return []
    observations = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            observations.append(from_json(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{file}, line {number}: no pictures: {error}") from error
    return observations


def with_pictures(observation: Observation, pictures: Sequence[Observation]) -> Observation:
    """An observation with those of its records that have pictures.

    Args:
        observation: The observation.
        pictures: From `read_pictures`.
    """
    for found in pictures:
        if (found.epoch, found.step) == (observation.epoch, observation.step):
            for name, record in found.records.items():
                observation = observation.with_record(name, record)
    return observation
