"""Work beside the training: one thread, and the gate that keeps processes from being forked while it holds a lock."""

# For the other packages: without an `__all__` none of these names is public.
from lightning_factorlens.background.worker import BackgroundWorker as BackgroundWorker
from lightning_factorlens.background.worker import Task as Task
