"""The results of a run in plain types, in which a child process passes them to the main process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_factorlens.results import History, Observation, Record
from lightning_factorlens.results.serialization import from_json, to_json
from lightning_factorlens.run_state import RunState


def pack_results(state: RunState, observation: Observation | None) -> dict[str, Any]:
    """Converts results to plain types and tensors; unlike in a checkpoint, the history is whole.

    Args:
        state: The run's state.
        observation: The last observation; its tensors are left out, except for the eigenvalues.
    """
    return {
        "state": state.state_dict(),
        "n_failed": state.n_failed,
        "history": [to_json(earlier) for earlier in state.history],
        "observation": None if observation is None else to_json(observation),
    }


def unpack_results(
    results: Mapping[str, Any], empty_state: RunState, record_types: Mapping[str, type[Record]]
) -> tuple[RunState, Observation | None]:
    """Restores what `pack_results` has converted.

    Args:
        results: From `pack_results`.
        empty_state: A state of the same lens.
        record_types: The user's own record classes, by the names of their measurements.
    """
    state = empty_state.from_state_dict(results["state"], record_types)
    state.history = History(from_json(line, record_types) for line in results["history"])
    state.n_failed = results["n_failed"]
    observation = None
    if results["observation"] is not None:
        observation = from_json(results["observation"], record_types)
    return state, observation
