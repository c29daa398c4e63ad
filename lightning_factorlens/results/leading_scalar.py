"""The scalar that a run is judged by: its series over the observations, and where it was best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens.results.observation import Observation

#: Epochs at the start that do not count, as for the default stopping rule: a network that predicts the same few classes
#: for all inputs is consistent for that reason.
WARMUP_EPOCHS = 5
#: Number of observations that make a trend. With `RISE` it is the criterion of the default stopping rule under an
#: annealed learning rate.
WINDOW = 5
#: Rise above the lowest value, as a fraction of it, that counts as a rise.
RISE = 0.1


def is_untrained(observation: Observation) -> bool:
    """Whether an observation was made before the first step of the training."""
    return observation.epoch == 0 and observation.step == 0


@dataclass(frozen=True)
class LeadingScalar:
    """The scalar that a run is judged by.

    Attributes:
        quantity: Name of the quantity, as in `Value`.
        scope: Its scope, as in `Value`.
        lower_is_better: Whether lower values are better.
        name: How texts call it.
    """

    quantity: str
    scope: str | None = None
    lower_is_better: bool = True
    name: str = ""

    @property
    def sign(self) -> float:
        """The factor that makes lower values better."""
        return 1.0 if self.lower_is_better else -1.0

    def value_of(self, observation: Observation) -> float | None:
        """The finite value of an observation; None without one, and before training.

        An untrained network agrees with itself, and no callback can stop or save a checkpoint there.
        """
        value = None if is_untrained(observation) else observation.get_value(self.quantity, self.scope)
        return value if value is not None and math.isfinite(value) else None


#: The one signal that has been tested as a stop signal.
CONSISTENCY = LeadingScalar("consistency", name="consistency")


@dataclass(frozen=True)
class LeadingSeries:
    """The finite values of the leading scalar after training began.

    Attributes:
        scalar: The scalar.
        observations: The observations that have a value, oldest first.
        values: Their values.
        last: The last observation of the run, with or without a value; None for an empty run.
        reason_for_none: Why there is no value, where there is none.
    """

    scalar: LeadingScalar
    observations: tuple[Observation, ...]
    values: tuple[float, ...]
    last: Observation | None
    reason_for_none: str

    @classmethod
    def of(cls, history: Sequence[Observation], scalar: LeadingScalar) -> LeadingSeries:
        """The series of a run.

        Args:
            history: The observations, oldest first.
            scalar: The scalar.
        """
        observations = []
        values = []
        for observation in history:
            value = scalar.value_of(observation)
            if value is not None:
                observations.append(observation)
                values.append(value)
        last = history[-1] if history else None
        return cls(scalar, tuple(observations), tuple(values), last, _missing_reason(history, scalar))

    @property
    def n_warmup(self) -> int:
        """Number of observations of the first epochs."""
        return sum(observation.epoch <= WARMUP_EPOCHS for observation in self.observations)

    def best_index(self, start: int) -> int:
        """Index of the first best value from a position on."""
        return min(range(start, len(self.values)), key=lambda index: self.scalar.sign * self.values[index])

    def n_risen(self, lowest_index: int) -> int:
        """Number of observations in a row, up to the last, that lie above the lowest value by more than `RISE`.

        Args:
            lowest_index: Index of the lowest value.
        """
        lowest = self.values[lowest_index]
        limit = lowest + RISE * abs(lowest)
        n = 0
        for value in reversed(self.values[lowest_index + 1 :]):
            if value <= limit:
                break
            n += 1
        return n

    def epochs_before_end(self, epoch: int) -> str:
        """How long before the last observation an epoch was."""
        assert self.last is not None
        n = self.last.epoch - epoch
        if n == 0:
            return "the last"
        return f"{n} epoch{'' if n == 1 else 's'} before the end"


def best_observation(history: Sequence[Observation], scalar: LeadingScalar = CONSISTENCY) -> Observation | None:
    """Finds the observation after training began at which a scalar was best.

    Args:
        history: The observations of one run, oldest first.
        scalar: The scalar.

    Returns:
        The first of the best ones, or None where the scalar was never measured after training began.
    """
    series = LeadingSeries.of(history, scalar)
    if not series.values:
        return None
    return series.observations[series.best_index(0)]


def position(observation: Observation) -> str:
    """Where an observation stands in the run: its epoch, and its step, which is TensorBoard's x axis.

    Args:
        observation: The observation.

    Example:
        >>> position(Observation(epoch=3, step=56, records={}))
        'epoch 3 (step 56)'
    """
    return f"epoch {observation.epoch} (step {observation.step})"


def _missing_reason(history: Sequence[Observation], scalar: LeadingScalar) -> str:
    """Why there is no value: the note that the last observation has about it."""
    quantity = scalar.quantity.replace("_", " ")
    for note in history[-1].notes if history else ():
        if note.startswith(f"no {quantity}: "):
            return note.split(". ")[0].rstrip(".").encode("ascii", "replace").decode()
    return f"{scalar.name or quantity} has not been measured since training began"
