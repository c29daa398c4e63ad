"""TensorBoard's page "HParams": a row a run, the user's hyperparameters beside the final label-free summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_factorlens._private_api import default_hp_metric, file_writer
from lightning_factorlens.loggers.scalars import is_tensorboard_logger
from lightning_factorlens.loggers.tags import PREFIX, middle_rank, percent

#: Lightning's own column, kept, as only the first table of a run counts.
HP_METRIC = "hp_metric"


def table_columns(ranks: Sequence[int], error_thresholds: Sequence[float], prefix: str = PREFIX) -> list[str]:
    """Tags whose last values make the table.

    Args:
        ranks: The lens's.
        error_thresholds: The lens's.
        prefix: What the tags begin with.
    """
    rank = middle_rank(ranks)
    required = [f"{prefix}/rank_at_{percent(tau)}pct" for tau in error_thresholds]
    return [
        f"{prefix}/consistency",
        *required,
        f"{prefix}/effective_rank",
        f"{prefix}/rel_error/rank_{rank}",
        f"{prefix}/mean_alpha",
        f"{prefix}/seconds",
    ]


def write_hparams(logger: Any, params: Mapping[str, Any], columns: Sequence[str], tag_prefix: str = "") -> bool:
    """Opens a run's row; TensorBoard fills its columns with the last value of each tag.

    To be called before anything else describes the run's hyperparameters: of several descriptions the first counts,
    and Lightning's, written when training starts, knows none of these columns.

    Args:
        logger: A logger of Lightning's; nothing happens with one that is not its TensorBoardLogger, or whose user
            passed ``default_hp_metric=False`` to make a table of his own.
        params: The user's hyperparameters; nested ones are joined with a slash, as Lightning does.
        columns: Tags, see `table_columns`.
        tag_prefix: What the logger puts before every tag.

    Returns:
        Whether it was written.
    """
    from torch.utils.tensorboard.summary import hparams

    if not is_tensorboard_logger(logger) or not default_hp_metric(logger):
        return False
    wanted = [*columns, *([HP_METRIC] if params else [])]
    writer = file_writer(logger.experiment)
    for summary in hparams(flatten_params(params), dict.fromkeys((tag_prefix + tag for tag in wanted), 0.0)):
        writer.add_summary(summary)
    return True


def flatten_params(params: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested parameters as one level of numbers and words; what is neither becomes its words, None too."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten_params(value, f"{above}{name}/")
        else:
            flat[f"{above}{name}"] = value if isinstance(value, (int, float, str)) else str(value)
    return flat
