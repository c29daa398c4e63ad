"""MLflow's client before version 2.14, whose images have no step."""

from observations import MEASUREMENTS

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.mlflow import MLflowMediaLogger


class OldClient:
    def __init__(self):
        self.files = {}

    def log_batch(self, run_id, metrics):
        raise AssertionError("scalars go through the logger")

    def log_image(self, run_id, image, artifact_file):
        self.files[run_id, artifact_file] = image.shape

    def log_text(self, run_id, text, artifact_file):
        self.files[run_id, artifact_file] = text


class Logger:
    def __init__(self):
        self.experiment, self.run_id, self._prefix = OldClient(), "abc", "mine"

    def log_metrics(self, metrics, step=None):
        pass


def test_an_old_client_gets_one_file_for_each_step(observe):
    logger = Logger()
    sink = LoggerSink([logger], MEASUREMENTS, options=TensorBoardOptions(figures_every_n=2))
    sink.write(observe(0))
    sink.write(observe(1))
    sink.close()
    names = [name for run, name in logger.experiment.files if run == "abc"]
    assert [n for n in names if "2_rank_curve" in n] == [
        f"mine-factorlens_figures/2_rank_curve/step_{step:07d}.png" for step in (7, 107)
    ]
    assert {n for n in names if n.endswith(".md")} == {
        "mine-factorlens_usage/how_to_read.md",
        "mine-factorlens/result.md",
    }


def test_a_logger_without_a_run_is_not_mlflows():
    logger = Logger()
    logger.run_id = None
    assert MLflowMediaLogger.wrap(logger) is None
