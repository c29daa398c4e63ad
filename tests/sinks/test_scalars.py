"""Many scalars in one event are read back as if each had its own."""

import pytest
from lightning_factorlens.loggers.lightning_loggers import LoggerSink
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_factorlens.loggers.scalars import is_tensorboard_logger
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars

loggers = pytest.importorskip("lightning.pytorch.loggers")


class Own(loggers.TensorBoardLogger):
    """A user's, who wants it otherwise."""

    def log_metrics(self, metrics, step=None):
        super().log_metrics({f"mine/{tag}": value for tag, value in metrics.items()}, step)


def scalars(logger):
    logger.experiment.close()
    accumulator = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0}).Reload()
    return {(tag, e.step): e.value for tag in accumulator.Tags()["scalars"] for e in accumulator.Scalars(tag)}


@pytest.mark.parametrize("prefix", ["", "run.a"])
def test_same_as_one_by_one(observe, tmp_path, prefix):
    looks = [observe(epoch) for epoch in range(3)]
    batched, single = (loggers.TensorBoardLogger(tmp_path / name, prefix=prefix) for name in ("batched", "single"))
    assert is_tensorboard_logger(batched)
    for o in looks:
        LoggerSink([batched], figures_every_n=0).write(o)
        single.log_metrics(monitored_scalars(o) | other_scalars(o), o.step)
    found = scalars(batched)
    assert found == scalars(single)
    assert len(found) == 3 * len(monitored_scalars(looks[0]) | other_scalars(looks[0]))


def test_a_logger_with_a_way_of_its_own_is_asked(observe, tmp_path):
    logger, o = Own(tmp_path), observe()
    assert not is_tensorboard_logger(logger)
    LoggerSink([logger], figures_every_n=0).write(o)
    assert ("mine/factorlens/consistency", o.step) in scalars(logger)
