"""What a run keeps from one observation to the next: warm start, history, counters, and the sum of its losses."""

from lightning_factorlens.run_state.run_state import RunState
from lightning_factorlens.run_state.warm_start import N_SINCE, WarmStart

__all__ = ["N_SINCE", "RunState", "WarmStart"]
