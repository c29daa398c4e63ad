"""Attributes of loggers exist."""

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from lightning_factorlens._private_api import loggers


def test_attributes_of_loggers_exist(tmp_path):
    logger = TensorBoardLogger(tmp_path, prefix="run", default_hp_metric=True)
    assert loggers.logger_name_prefix(logger) == "run"
    assert loggers.logger_name_prefix(CSVLogger(tmp_path, prefix="run")) == "run"
    assert loggers.logger_name_prefix(object()) == ""
    assert loggers.default_hp_metric(logger)
    assert not loggers.default_hp_metric(TensorBoardLogger(tmp_path, default_hp_metric=False))
    assert not loggers.default_hp_metric(object())


@pytest.mark.parametrize("name", ["MLFlowLogger", "CometLogger", "WandbLogger"])
def test_the_prefix_of_other_loggers_is_assigned_in_their_source(name):
    import inspect

    from lightning.pytorch import loggers

    assert "self._prefix" in inspect.getsource(getattr(loggers, name))


def test_attributes_of_the_summary_writer_exist(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        assert loggers.has_file_writer(writer)
        assert callable(loggers.file_writer(writer).add_summary)
    assert not loggers.has_file_writer(None)
