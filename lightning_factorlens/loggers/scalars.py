"""Hundreds of scalars in TensorBoard as one event, at a tenth of the cost of one event each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_factorlens._private_api.loggers import file_writer, has_file_writer

#: Packages whose TensorBoardLogger is known: `write_scalars` writes what its ``log_metrics`` would write.
KNOWN_PACKAGES = ("lightning.", "pytorch_lightning.")


def is_tensorboard_logger(logger: Any) -> bool:
    """Whether a logger is Lightning's TensorBoardLogger; a subclass with its own ``log_metrics`` is not.

    Args:
        logger: Any logger.
    """
    method = getattr(type(logger), "log_metrics", None)
    module = str(getattr(method, "__module__", ""))
    is_known = type(logger).__name__ == "TensorBoardLogger" and module.startswith(KNOWN_PACKAGES)
    return is_known and has_file_writer(getattr(logger, "experiment", None))


def write_scalars(writer: Any, metrics: Mapping[str, float], step: int, tag_prefix: str = "") -> None:
    """Writes all scalars of one step.

    Args:
        writer: A ``SummaryWriter``.
        metrics: Value by tag.
        step: Position of all of them on the x axis.
        tag_prefix: Text that the logger puts before every tag.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = []
    for tag, value in metrics.items():
        values.append(Summary.Value(tag=tag_prefix + tag, simple_value=value))
    file_writer(writer).add_summary(Summary(value=values), step)  # as Lightning's logger does for its hparams
