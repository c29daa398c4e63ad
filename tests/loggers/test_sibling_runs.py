"""The guide is written once in a folder of runs, as TensorBoard's files show."""

from pathlib import Path

import pytest
from lightning.pytorch import loggers
from observations import MEASUREMENTS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.sibling_runs import is_written_in_folder

GUIDE = "factorlens_usage/how_to_read/text_summary"
RESULT = "factorlens/result/text_summary"


def run(observe, folder, name="", measurements=MEASUREMENTS, prefix="factorlens"):
    """A run of one observation; returns the folder of its files."""
    logger = loggers.TensorBoardLogger(folder, name=name)
    sink = LoggerSink([logger], measurements, prefix, TensorBoardOptions(figures_every_n=0))
    sink.write(observe(1))
    sink.close()
    logger.experiment.close()
    return logger.log_dir


def texts(log_dir):
    return [tag for tag in EventAccumulator(log_dir).Reload().Tags()["tensors"] if tag.endswith("text_summary")]


def test_three_runs_have_three_results_and_one_guide(observe, tmp_path):
    written = [texts(run(observe, tmp_path)) for _ in range(3)]
    assert written == [[GUIDE, RESULT], [RESULT], [RESULT]]


def test_another_folder_has_a_guide_of_its_own(observe, tmp_path):
    assert GUIDE in texts(run(observe, tmp_path, "first"))
    assert GUIDE in texts(run(observe, tmp_path, "second"))


def test_other_measurements_or_another_prefix_have_another_guide(observe, tmp_path):
    run(observe, tmp_path)
    assert GUIDE in texts(run(observe, tmp_path, measurements=MEASUREMENTS[:3]))
    assert "student_usage/how_to_read/text_summary" in texts(run(observe, tmp_path, prefix="student"))


def test_a_run_that_goes_on_in_its_own_folder_does_not_repeat_the_guide(observe, tmp_path):
    for _ in range(2):
        logger = loggers.TensorBoardLogger(tmp_path, name="run", version="")
        sink = LoggerSink([logger], MEASUREMENTS, options=TensorBoardOptions(figures_every_n=0))
        sink.write(observe(1))
        logger.experiment.close()
    events = EventAccumulator(logger.log_dir).Reload().Tensors(GUIDE)
    assert len(events) == 1


@pytest.mark.parametrize("folder", ["s3://bucket/run", "no/such/folder"])
def test_a_folder_that_is_not_on_this_machine_has_no_text(folder):
    assert not is_written_in_folder("text", Path(folder))


def test_a_folder_that_cannot_be_read_has_no_text(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert not is_written_in_folder("text", tmp_path / "run")
