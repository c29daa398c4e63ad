"""What a report is about: a run, a checkpoint, or a run with a checkpoint of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from lightning_factorlens.results import Observation, Record
from lightning_factorlens.results.findings import StopAdvice

#: Parts of a path that the page shows: the file, and two folders above it.
SHOWN_PARTS = 3


@dataclass(frozen=True)
class Subject:
    """One run or checkpoint as its observations.

    Attributes:
        name: How the report calls it.
        source: Where it was read from.
        history: Its observations, oldest first, at least one. That of a checkpoint, which was made for the report, has
            its tensors; those of a recorded run do not.
        notes: What a reader must know about the record itself, such as lines that could not be read.
        advice: What the run's `LabelFreeStopping` has decided; None where that is not known.
        class_names: Words for the classes 0, 1, … of the model's output; empty for the numbers.
    """

    name: str
    source: str
    history: tuple[Observation, ...]
    notes: tuple[str, ...] = ()
    advice: StopAdvice | None = None
    class_names: tuple[str, ...] = ()

    @property
    def is_run(self) -> bool:
        """Whether there are observations of several epochs."""
        return len(self.history) > 1

    @property
    def described(self) -> str:
        """The source of the subject and its observations, in words."""
        n = len(self.history)
        first, last = self.history[0].epoch, self.history[-1].epoch
        span = f"{n} observations, epochs {first} to {last}" if n > 1 else "1 observation"
        setup = self.history[-1].setup
        if setup is not None and setup.probe:
            span += f", {setup.samples_text}"
        return f"{_shown_path(self.source)}, {span}" if self.source else span

    def latest(self, record: str) -> Observation | None:
        """The last observation that has a record.

        Args:
            record: Name of the measurement, e.g. ``"weight_spectra"``.
        """
        for observation in reversed(self.history):
            if record in observation:
                return observation
        return None

    def latest_record(self, record: str) -> Record | None:
        """The last record of a measurement; None where there is none.

        Args:
            record: Name of the measurement.
        """
        observation = self.latest(record)
        return None if observation is None else observation.get(record)

    def until(self, record: str) -> tuple[Observation, ...]:
        """The history up to the last observation that has a record, as the figures of the callback are drawn.

        Args:
            record: Name of the measurement.

        Returns:
            The observations, oldest first; empty where none has the record.
        """
        for end in range(len(self.history), 0, -1):
            if record in self.history[end - 1]:
                return self.history[:end]
        return ()


def _shown_path(source: str) -> str:
    """The end of a path: the rest says where the writer of the report keeps files, which the page is not to share."""
    parts = PurePath(source).parts
    return source if len(parts) <= SHOWN_PARTS else f"…/{'/'.join(parts[-SHOWN_PARTS:])}"
