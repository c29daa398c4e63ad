"""What a run leaves: its state and its last observation, also where it took place in child processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.callbacks._failures import guarded, report_failure
from lightning_factorlens.callbacks._run_results import pack_results, unpack_results
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.callbacks._spawn_results import SpawnResults
from lightning_factorlens.measurements import record_types
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import RunState


class CallbackResults:
    """The state of a callback's run and its last observation.

    Args:
        settings: The callback's arguments.
        spawn_results: Transfers the results of a run in child processes to the main process.
    """

    def __init__(self, settings: Settings, spawn_results: SpawnResults) -> None:
        self._settings = settings
        self._spawn_results = spawn_results
        self._observation: Observation | None = None
        self._state = self._new_state()

    def _new_state(self) -> RunState:
        settings = self._settings
        tags = []
        for measurement in settings.measurements:
            tags += [scalar.tag for scalar in measurement.scalars if scalar.monitored]
        measured = repr((tags, settings.options.ranks))
        return RunState(OverheadBudget(settings.max_overhead), repr(settings.options.layers), measured)

    @property
    def state(self) -> RunState:
        """The run's state; after training in child processes, that of the first of them."""
        self._collect()
        return self._state

    @state.setter
    def state(self, state: RunState) -> None:
        self._state = state

    @property
    def running_state(self) -> RunState:
        """The state within a run: what a child process may have left is not looked for, as that reads a disk."""
        return self._state

    @property
    def observation(self) -> Observation | None:
        """The last observation; after training in child processes without its tensors."""
        self._collect()
        return self._observation

    @observation.setter
    def observation(self, observation: Observation | None) -> None:
        self._observation = observation

    def begin(self, trainer: Trainer, end_run: Callable[[], None]) -> None:
        """Drops the results that child processes of an earlier run have left; to be called in ``setup``.

        Args:
            trainer: The Trainer.
            end_run: See `SpawnResults.begin`.
        """
        self._spawn_results.begin(trainer, end_run)
        self.state.n_failed = 0

    def start_run(self) -> None:
        """Forgets an earlier run when another one starts; the failures since ``setup`` belong to the new one."""
        n_failed = self.state.n_failed
        self.state = self._new_state()
        self.state.n_failed = n_failed
        self._observation = None

    def leave(self, trainer: Trainer, kept: list[Exception] | None = None) -> None:
        """Leaves the results for the main process, if this is a child process.

        Args:
            trainer: The Trainer.
            kept: Receives failures, see `guarded`.
        """
        state = self.state
        with guarded(state, kept):
            self._spawn_results.write(trainer, lambda: pack_results(state, self.observation))

    def _collect(self) -> None:
        """Takes over what a child process has left."""
        try:
            results = self._spawn_results.take()
            if results is None:
                return
            types = record_types(self._settings.measurements)
            self._state, self._observation = unpack_results(results, self._new_state(), types)
        except Exception as error:
            report_failure(error, self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where a checkpoint stopped; a state that cannot be read, as an older version's, is ignored.

        Args:
            state_dict: From `RunState.state_dict`.

        Raises:
            ValueError: The state cannot be read, and ``on_error="raise"``.
        """
        self.state = self._new_state()
        self._observation = None  # that of another run, or of later steps
        try:
            self.state = self.state.from_state_dict(state_dict, record_types(self._settings.measurements))
        except Exception as error:
            reason = f"found no state of this lens in the checkpoint: {type(error).__name__}: {error}"
            if self._settings.on_error == "raise":
                raise ValueError(f"FactorLens {reason}; resume without the lens, or with on_error='warn'.") from error
            rank_zero_warn(f"FactorLens {reason}. Training goes on, the lens starts anew.")
