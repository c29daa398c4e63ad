"""What lightning's loggers and torch's ``SummaryWriter`` keep to themselves."""

from __future__ import annotations

from typing import Any


def logger_name_prefix(logger: Any) -> Any:
    """The ``prefix`` with which a logger of lightning was constructed; an empty string for other loggers."""
    return getattr(logger, "_prefix", "")


def default_hp_metric(logger: Any) -> bool:
    """Whether a ``TensorBoardLogger`` writes a table of hyperparameters itself; False for other loggers."""
    return bool(getattr(logger, "_default_hp_metric", False))


def has_file_writer(summary_writer: Any) -> bool:
    """Whether `file_writer` works for this object."""
    return hasattr(summary_writer, "_get_file_writer")


def file_writer(summary_writer: Any) -> Any:
    """The ``FileWriter`` of a torch ``SummaryWriter``, which writes several values as one event."""
    return summary_writer._get_file_writer()
