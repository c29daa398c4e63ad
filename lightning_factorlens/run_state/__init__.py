"""What a run keeps from one observation to the next: warm start, history, counters, and the sum of its losses."""

# For the other packages: without an `__all__` none of these names is public.
from lightning_factorlens.run_state.run_state import RunState as RunState
from lightning_factorlens.run_state.warm_start import N_SINCE as N_SINCE
from lightning_factorlens.run_state.warm_start import WarmStart as WarmStart
