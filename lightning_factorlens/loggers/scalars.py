"""Hundreds of scalars into TensorBoard as one event, at a tenth of the cost of one event each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_factorlens._private_api import file_writer, has_file_writer

#: Packages whose TensorBoardLogger is known: what its ``log_metrics`` does, `write_scalars` does too.
KNOWN = ("lightning.", "pytorch_lightning.")


def is_tensorboard_logger(logger: Any) -> bool:
    """Whether a logger is Lightning's own TensorBoardLogger; one with a ``log_metrics`` of its own is asked to log."""
    method = getattr(type(logger), "log_metrics", None)
    ours = type(logger).__name__ == "TensorBoardLogger" and str(getattr(method, "__module__", "")).startswith(KNOWN)
    return ours and has_file_writer(getattr(logger, "experiment", None))


def write_scalars(writer: Any, metrics: Mapping[str, float], step: int, tag_prefix: str = "") -> None:
    """Write all of them at one step.

    Args:
        writer: A ``SummaryWriter``.
        metrics: Value by tag.
        step: The x they share.
        tag_prefix: What the logger puts before every tag.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=tag_prefix + tag, simple_value=value) for tag, value in metrics.items()]
    file_writer(writer).add_summary(Summary(value=values), step)  # as Lightning's logger does for its hparams
