"""Many scalars in one event are read back as if each had its own event."""

import pytest
from lightning.pytorch import loggers
from observations import MEASUREMENTS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.scalars import is_tensorboard_logger
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars

NO_FIGURES = TensorBoardOptions(figures_every_n=0)


class OwnLogger(loggers.TensorBoardLogger):
    """A user's logger, which changes the tags."""

    def log_metrics(self, metrics, step=None):
        super().log_metrics({f"mine/{tag}": value for tag, value in metrics.items()}, step)


def all_scalars(observation):
    """What a sink writes of the first observation of a run, which is also the best one."""
    declared = monitored_scalars(observation, MEASUREMENTS) | other_scalars(observation, MEASUREMENTS)
    return declared | BestValues(MEASUREMENTS).update(observation)


def read_scalars(logger):
    logger.experiment.close()
    accumulator = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0}).Reload()
    return {(tag, e.step): e.value for tag in accumulator.Tags()["scalars"] for e in accumulator.Scalars(tag)}


@pytest.mark.parametrize("prefix", ["", "run.a"])
def test_one_event_equals_one_event_for_each_scalar(observe, tmp_path, prefix):
    observations = [observe(epoch) for epoch in range(3)]
    batched, single = (loggers.TensorBoardLogger(tmp_path / name, prefix=prefix) for name in ("batched", "single"))
    assert is_tensorboard_logger(batched)
    for o in observations:
        LoggerSink([batched], MEASUREMENTS, options=NO_FIGURES, detail="all").write(o)
        single.log_metrics(all_scalars(o), o.step)
    found = read_scalars(batched)
    assert found == read_scalars(single)
    assert len(found) == 3 * len(all_scalars(observations[0]))


def test_a_subclass_with_its_own_log_metrics_is_called(observe, tmp_path):
    logger, o = OwnLogger(tmp_path), observe()
    assert not is_tensorboard_logger(logger)
    LoggerSink([logger], MEASUREMENTS, options=NO_FIGURES).write(o)
    assert ("mine/factorlens/consistency", o.step) in read_scalars(logger)
