"""One row for each run: the user's hyperparameters, the summary scalars at the best epoch, and their last values."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, loggers
from models import Classifier
from observations import MEASUREMENTS, RANKS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.base import logger_prefix
from lightning_factorlens.loggers.hparams import flatten_params, table_columns, write_hparams
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.measurements import Consistency, RankAtError, ReconstructionError

NO_FIGURES = TensorBoardOptions(figures_every_n=0)


def described(folder):
    accumulator = EventAccumulator(str(folder)).Reload()
    content = {
        tag: accumulator.SummaryMetadata(tag).plugin_data.content
        for tag in accumulator._plugin_to_tag_to_content["hparams"]
    }
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    values = {k: v.number_value if v.HasField("number_value") else v.string_value for k, v in start.hparams.items()}
    return [m.name.tag for m in experiment.metric_infos], values


def values_of_row(folder, tags):
    """What TensorBoard shows in a run's row: the last value of each tag, None for an empty cell."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    written = accumulator.Tags()["scalars"]
    return {tag: accumulator.Scalars(tag)[-1].value if tag in written else None for tag in tags}


@pytest.mark.parametrize("prefix", ["", "run.a"])
def test_columns_are_tags_that_the_sink_writes(observe, tmp_path, prefix):
    logger, o = loggers.TensorBoardLogger(tmp_path, prefix=prefix), observe()
    columns = table_columns(MEASUREMENTS, RANKS)
    params = {"lr": 0.1, "depth": 3, "optimizer": {"name": "adam", "betas": (0.9, 0.99)}, "none": None}
    assert write_hparams(logger, params, columns, logger_prefix(logger))
    logger.log_hyperparams(params)  # what Lightning writes when training starts: too late to change the columns
    LoggerSink([logger], MEASUREMENTS, options=NO_FIGURES).write(o)
    logger.experiment.close()
    tags, values = described(logger.log_dir)
    before = f"{prefix}-" if prefix else ""
    assert tags == [before + tag for tag in columns]
    assert values == {"lr": 0.1, "depth": 3, "optimizer/name": "adam", "optimizer/betas": "(0.9, 0.99)", "none": "None"}
    row = values_of_row(logger.log_dir, tags)
    capped = f"{before}factorlens_best/rank_at_12p5pct"  # the rank is above the largest one tried
    assert [tag for tag, value in row.items() if value is None] == [capped]


def test_the_row_has_the_best_values_with_their_epoch_and_the_last_values(observe, tmp_path):
    logger = loggers.TensorBoardLogger(tmp_path)
    columns = table_columns(MEASUREMENTS, RANKS)
    write_hparams(logger, {"lr": 0.1}, columns)
    sink = LoggerSink([logger], MEASUREMENTS, options=NO_FIGURES)
    for epoch, (consistency, rank) in enumerate([(2.0, 10.0), (1.0, 20.0), (1.5, 30.0)], start=11):
        effective_rank = {"total": rank}
        sink.write(observe(epoch, consistency=consistency, effective_rank=effective_rank))
    sink.close()
    logger.experiment.close()
    row = values_of_row(logger.log_dir, columns)
    assert (row["factorlens_best/epoch"], row["factorlens_best/consistency"]) == (12.0, 1.0)
    assert (row["factorlens/consistency"], row["factorlens/effective_rank"]) == (1.5, 30.0)
    assert row["factorlens_best/effective_rank"] == 20.0


def test_the_column_of_lightnings_own_metric_is_there_on_request_alone(tmp_path):
    for has_hp_metric in (False, True):
        logger = loggers.TensorBoardLogger(tmp_path, name=str(has_hp_metric))
        write_hparams(logger, {"lr": 0.1}, ["factorlens/consistency"], has_hp_metric=has_hp_metric)
        logger.log_hyperparams({"lr": 0.1})
        logger.experiment.close()
        tags, _ = described(logger.log_dir)
        assert ("hp_metric" in tags) == has_hp_metric


def test_a_logger_without_hp_metric_or_of_another_kind_gets_no_table(tmp_path):
    assert not write_hparams(loggers.TensorBoardLogger(tmp_path, default_hp_metric=False), {"a": 1}, ["x"])
    assert not write_hparams(loggers.CSVLogger(tmp_path), {"a": 1}, ["x"])


def test_columns_follow_ranks_and_thresholds():
    measurements = [Consistency(), RankAtError((0.125,)), ReconstructionError()]
    columns = table_columns(measurements, (1, 4, 64), "student")
    assert columns[:3] == ["student_best/epoch", "student_best/consistency", "student_best/rank_at_12p5pct"]
    assert "student/rel_error/rank_4" in columns
    assert "student/rank_at_12p5pct" not in columns  # a cell could not show that it is a lower bound


def test_the_best_epoch_of_a_stopping_rule_has_a_column():
    columns = table_columns([Consistency()], RANKS, extra_scalars=LabelFreeStopping().scalars)
    assert [tag for tag in columns if "stop" in tag] == ["factorlens/stop_best_epoch"]


def test_parameters_become_one_level_of_plain_values():
    assert flatten_params({"a": {"b": {"c": 1}}, "flag": True, "x": [1]}) == {"a/b/c": 1, "flag": True, "x": "[1]"}


class Model(Classifier):
    def __init__(self, width=5):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, x):
        return self.net(x)


def test_a_training_run_leaves_table_projector_reports_and_charts(tmp_path):
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.rand(24, 1, 8, 8), torch.randint(3, (24,))), 12)
    logger = loggers.TensorBoardLogger(tmp_path)
    callback = FactorLensCallback(lens=LensOptions(ranks=(1, 2, 4)), max_overhead=None, verbose=False)
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    callbacks = [callback, LabelFreeStopping()]
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=logger, callbacks=callbacks, **silent)
    trainer.fit(Model(), loader, loader)
    logger.experiment.close()

    tags, values = described(logger.log_dir)
    assert tags[:2] == ["factorlens_best/epoch", "factorlens_best/consistency"]
    assert "factorlens/stop_best_epoch" in tags
    assert "hp_metric" not in tags
    assert values == {"width": 5}
    accumulator = EventAccumulator(logger.log_dir).Reload()
    *_, layout = [e.tensor_proto.string_val[0] for e in accumulator.Tensors("custom_scalars__config__")]
    assert b"factorlens/should_stop$" in layout
    (guide,) = accumulator.Tensors("factorlens_usage/how_to_read/text_summary")
    assert b"How to read this" in guide.tensor_proto.string_val[0]
    assert accumulator.Tensors("factorlens/result/text_summary")[0].step == callback.observation.step
    (tsv,) = (tmp_path / "lightning_logs/version_0").rglob("tensors.tsv")
    F = callback.observation.factorization.F[1].T.numpy()
    np.testing.assert_array_equal(np.loadtxt(tsv, delimiter="\t", dtype=np.float32), F)
