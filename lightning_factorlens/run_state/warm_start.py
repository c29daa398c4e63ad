"""The data from which the next observation starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Entry of the state of a measurement with a cadence: how many observations ago it was made.
N_SINCE = "n_since"


@dataclass(frozen=True)
class WarmStart:
    """The data from which the next observation starts. An observation that fails leaves them unchanged.

    Attributes:
        F: The last sample factors, one for each rank, shape (rank, N): the next factorisation starts from them. None
            starts it from scratch.
        states: The states of measurements, by their names; see `Context.keep_state`.
    """

    F: tuple[Tensor, ...] | None = None
    states: Mapping[str, Any] = field(default_factory=dict)

    def updated(self, later: WarmStart, measured: Collection[str]) -> WarmStart:
        """This warm start after an observation that made some of the measurements.

        Args:
            later: What the observation has left.
            measured: Names of the measurements that it made; the states of all others stay.
        """
        states = {name: state for name, state in self.states.items() if name not in measured}
        F = self.F if later.F is None else later.F
        return WarmStart(F, {**states, **later.states})

    def only(self, names: Collection[str]) -> WarmStart:
        """This warm start with the states of some measurements alone."""
        states = {name: state for name, state in self.states.items() if name in names}
        return WarmStart(self.F, states)

    def for_other_samples(self) -> WarmStart:
        """What does not depend on the samples: how many observations ago measurements were made."""
        states = {}
        for name, state in self.states.items():
            if isinstance(state, Mapping) and N_SINCE in state:
                states[name] = {N_SINCE: state[N_SINCE]}
        return WarmStart(states=states)

    def cpu(self) -> WarmStart:
        """A copy on the CPU, as checkpoints hold it."""
        F = None if self.F is None else tuple(factor.detach().cpu() for factor in self.F)
        return WarmStart(F, _to_cpu(self.states))


def _to_cpu(value: Any) -> Any:
    """Nested dictionaries, lists and tuples with every tensor on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: _to_cpu(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_cpu(inner) for inner in value)
    return value
