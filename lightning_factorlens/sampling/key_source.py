"""Where the keys of the probe's samples come from: known beforehand, or from a sampler of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lightning_factorlens.sampling.sampling import Choice, first_batches, first_keys


@dataclass(frozen=True)
class KnownKeys:
    """Keys that are known without a call of the user's objects.

    Attributes:
        batches: The keys of each batch.
    """

    batches: list[list[Any]]
    is_one_shot = False

    def key_batches(self) -> list[list[Any]]:
        """The keys of each batch."""
        return self.batches


@dataclass(frozen=True)
class SampledKeys:
    """Keys that a sampler of the user's own yields; iterating over it may change it.

    Attributes:
        sampler: The sampler or batch sampler.
        kind: What it yields: ``"samples"`` (keys of samples), ``"batches"`` (lists of such keys), or ``"whole"``
            (keys that select a whole batch each).
        max_keys: Number of keys that are read at most; the sampler may be infinite.
        choice: Chooses among the keys.
    """

    sampler: Any
    kind: str
    max_keys: int
    choice: Choice

    @property
    def is_one_shot(self) -> bool:
        """Whether the sampler is its own iterator, which can be read once."""
        return hasattr(type(self.sampler), "__next__")

    def key_batches(self) -> list[list[Any]]:
        """The keys of each batch; iterates over the sampler."""
        if self.kind == "batches":
            return self.choice.batches(first_batches(self.sampler, self.max_keys))
        keys = first_keys(self.sampler, self.max_keys)
        if self.kind == "whole":
            return [self.choice.shuffled(keys)]
        return self.choice.samples(keys)


KeySource = KnownKeys | SampledKeys


@dataclass(frozen=True)
class KeyReading:
    """Reads nothing but the keys, before worker processes read the samples.

    Attributes:
        keys: The sampler and the choice.
    """

    keys: SampledKeys

    @property
    def name(self) -> str:
        """The type of the user's object that is read."""
        return type(self.keys.sampler).__name__

    @property
    def is_one_shot(self) -> bool:
        """Whether reading in this process would use up what the training or validation is to read."""
        return self.keys.is_one_shot

    @property
    def is_stateless(self) -> bool:
        """Whether reading changes nothing."""
        return False

    def read(self, report: Callable[[int], None]) -> Iterator[list[list[Any]]]:
        """Yields the keys of all batches at once."""
        yield self.keys.key_batches()
        report(0)
