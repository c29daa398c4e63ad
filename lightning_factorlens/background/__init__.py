"""Work beside the training: one thread, and the gate that keeps processes from being forked while it holds a lock."""

from lightning_factorlens.background.worker import BackgroundWorker, Task

__all__ = ["BackgroundWorker", "Task"]
