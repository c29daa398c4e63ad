"""What the objects that make observations of a run work with."""

from __future__ import annotations

from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._observation_planner import ObservationPlanner
from lightning_factorlens.callbacks._preparation import PreparedLens
from lightning_factorlens.callbacks._publisher import Publisher
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.callbacks._unfinished import UnfinishedObservation


class ObservationMaker:
    """Base class of the objects that make observations.

    Args:
        settings: The callback's arguments.
        results: The run's state and last observation.
        prepared: The lens and its probe.
        publisher: Passes the results on.
        planner: Chooses what is measured.
        unfinished: The last observation, while parts of it are computed beside the training.
        worker: The thread beside the training.
    """

    def __init__(
        self,
        settings: Settings,
        results: CallbackResults,
        prepared: PreparedLens,
        publisher: Publisher,
        planner: ObservationPlanner,
        unfinished: UnfinishedObservation,
        worker: BackgroundWorker,
    ) -> None:
        self._settings = settings
        self._results = results
        self._prepared = prepared
        self._publisher = publisher
        self._planner = planner
        self._unfinished = unfinished
        self._worker = worker

    @property
    def _worker_in_use(self) -> BackgroundWorker | None:
        """The thread beside the training, unless the user wants none."""
        return self._worker if self._settings.background else None
