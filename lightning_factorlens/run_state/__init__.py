"""What a run keeps from one observation to the next: warm start, history, counters, and the sum of its losses."""

from lightning_factorlens.run_state.run_state import N_SINCE, RunState, WarmStart

__all__ = ["N_SINCE", "RunState", "WarmStart"]
