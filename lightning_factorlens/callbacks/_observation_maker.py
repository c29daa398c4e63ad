"""What the objects that make observations of a run work with."""

from __future__ import annotations

from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._observation_planner import ObservationPlanner
from lightning_factorlens.callbacks._preparation import PreparedLens
from lightning_factorlens.callbacks._publisher import Publisher
from lightning_factorlens.callbacks._settings import Settings


class ObservationMaker:
    """Base class of the objects that make observations.

    Args:
        settings: The callback's arguments.
        results: The run's state and last observation.
        prepared: The lens and its probe.
        publisher: Passes the results on.
        planner: Chooses what is measured.
    """

    def __init__(
        self,
        settings: Settings,
        results: CallbackResults,
        prepared: PreparedLens,
        publisher: Publisher,
        planner: ObservationPlanner,
    ) -> None:
        self._settings = settings
        self._results = results
        self._prepared = prepared
        self._publisher = publisher
        self._planner = planner
