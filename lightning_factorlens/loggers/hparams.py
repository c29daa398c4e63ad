"""TensorBoard's page "HParams": the user's hyperparameters beside the best and last summary scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_factorlens._private_api.loggers import default_hp_metric, file_writer
from lightning_factorlens.loggers.best_values import best_scalars
from lightning_factorlens.loggers.scalars import is_tensorboard_logger
from lightning_factorlens.loggers.tags import PREFIX, with_cost
from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results.curves import middle_rank

#: Lightning's own column, for users who log a scalar of this name.
HP_METRIC = "hp_metric"
#: Number of best values before the values of other callbacks: the epoch, and the scalar that tells which is best.
N_FIRST = 2


def table_columns(
    measurements: Sequence[Measurement],
    ranks: Sequence[int],
    prefix: str = PREFIX,
    extra_scalars: Sequence[Scalar] = (),
) -> list[str]:
    """Tags whose last values make the table.

    First come the values at the best observation, see `best_scalars`, and those of other callbacks, then the last
    values of the summary scalars. TensorBoard shows the first five and offers the others. Scalars that may be a lower
    bound only have no last value in the table, because a cell cannot show that; at the best observation their cell is
    left empty then.

    Args:
        measurements: The lens's measurements.
        ranks: The lens's ranks; the middle one represents a curve over ranks.
        prefix: First part of the tags.
        extra_scalars: Scalars that other callbacks log under the same prefix; those for summaries have a column.

    Returns:
        The tags.
    """
    best = best_scalars(measurements)
    of_others = [scalar for scalar in extra_scalars if scalar.summary]
    declared = [*best[:N_FIRST], *of_others, *best[N_FIRST:]]
    for measurement in with_cost(measurements):
        for scalar in measurement.scalars:
            if scalar.summary and not scalar.lower_bound and "{scope}" not in scalar.tag:
                declared.append(scalar)
    return [scalar.tag.format(prefix=prefix, rank=middle_rank(ranks)) for scalar in declared]


def write_hparams(
    logger: Any, params: Mapping[str, Any], columns: Sequence[str], tag_prefix: str = "", has_hp_metric: bool = False
) -> bool:
    """Writes a run's row, whose columns TensorBoard fills with the last value of each tag.

    It must be called before anything else writes the run's hyperparameters: TensorBoard shows the first table only, and
    Lightning's own, written when training starts, has none of these columns.

    Args:
        logger: One of Lightning's loggers. Nothing is written for one that is not its TensorBoardLogger, or that was
            made with ``default_hp_metric=False`` for a table of the user's own.
        params: The user's hyperparameters; nested ones are joined with a slash, as Lightning does.
        columns: Tags, see `table_columns`.
        tag_prefix: Text that the logger puts before every tag.
        has_hp_metric: Whether the table has Lightning's column `HP_METRIC`, whose value is -1 where the user does not
            log another one.

    Returns:
        Whether the row was written.
    """
    from torch.utils.tensorboard.summary import hparams

    if not is_tensorboard_logger(logger) or not default_hp_metric(logger):
        return False
    metrics = [tag_prefix + tag for tag in columns]
    if has_hp_metric:
        metrics.append(tag_prefix + HP_METRIC)
    writer = file_writer(logger.experiment)
    experiment, start, end = hparams(flatten_params(params), dict.fromkeys(metrics, 0.0))
    _name_columns(experiment, tag_prefix)
    for summary in (experiment, start, end):
        writer.add_summary(summary)
    return True


def _name_columns(experiment: Any, tag_prefix: str) -> None:
    """Gives the columns titles with spaces, at which TensorBoard can break them.

    Args:
        experiment: TensorBoard's summary of all columns, which is changed.
        tag_prefix: Text that the logger puts before every tag.
    """
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    plugin_data = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin_data.content)
    for column in content.experiment.metric_infos:
        column.display_name = column_title(column.name.tag.removeprefix(tag_prefix))
    plugin_data.content = content.SerializeToString()


def column_title(tag: str) -> str:
    """The title of a column.

    Args:
        tag: The tag that the column shows.

    Example:
        >>> column_title("factorlens_best/epoch"), column_title("factorlens/consistency"), column_title("hp_metric")
        ('best epoch', 'last consistency', 'hp_metric')
        >>> column_title("student_best/epoch"), column_title("factorlens/stop_best_epoch")
        ('student: best epoch', 'stop best epoch')
    """
    group, _, name = tag.rpartition("/")
    if not group:
        return tag
    prefix, _, part = group.partition("_")
    if part == "best":
        title = f"best {name}"
    elif name.endswith("best_epoch"):
        title = name.replace("_", " ")
    else:
        title = f"last {name}"
    return title if prefix == PREFIX else f"{prefix}: {title}"


def flatten_params(params: Mapping[str, Any], parent: str = "") -> dict[str, Any]:
    """Flattens nested parameters to one level of numbers and strings.

    Args:
        params: Value by name; nested mappings are joined with a slash.
        parent: Text before every name.

    Returns:
        Numbers and strings by name; any other value, None included, is converted to a string.

    Example:
        >>> flatten_params({"optimizer": {"lr": 0.1, "betas": None}})
        {'optimizer/lr': 0.1, 'optimizer/betas': 'None'}
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten_params(value, f"{parent}{name}/")
        elif isinstance(value, (int, float, str)):
            flat[f"{parent}{name}"] = value
        else:
            flat[f"{parent}{name}"] = str(value)
    return flat
