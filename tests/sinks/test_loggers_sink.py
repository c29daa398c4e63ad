"""Every logger is written, whatever one of them does."""

import csv
from types import SimpleNamespace

import pytest
from lightning_factorlens.loggers.lightning_loggers import LoggerSink

from lightning_factorlens.loggers.base import Sink
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars


class Recorder:
    def __init__(self):
        self.calls = []

    def log_metrics(self, metrics, step=None):
        self.calls.append((dict(metrics), step))
        metrics.clear()  # as a rude logger might


class Broken:
    def __init__(self, message="disk full"):
        self.message = message

    def log_metrics(self, metrics, step=None):
        raise OSError(self.message)


class Drawing(Recorder):
    """A logger whose writer takes pictures and counts them."""

    def __init__(self):
        super().__init__()
        self.drawn = []
        self.experiment = SimpleNamespace(
            add_figure=lambda tag, *_: self.drawn.append(tag),
            add_histogram=lambda tag, *_, **__: self.drawn.append(tag),
        )


def test_every_logger_gets_everything_at_the_step(observe):
    o, a, b = observe(), Recorder(), Recorder()
    sink = LoggerSink([a, b])
    assert isinstance(sink, Sink)
    sink.write(o)
    sink.close()
    assert a.calls == b.calls == [(monitored_scalars(o) | other_scalars(o), o.step)]


def test_prefix_reaches_the_loggers(observe):
    o, a = observe(), Recorder()
    LoggerSink([a], prefix="student").write(o)
    assert a.calls[0][0] == monitored_scalars(o, "student") | other_scalars(o, "student")


def test_one_that_raises_keeps_no_other_from_being_written(observe):
    a, b = Recorder(), Recorder()
    with pytest.raises(OSError, match="disk full"):
        LoggerSink([a, Broken(), b]).write(observe())
    assert len(a.calls) == len(b.calls) == 1


def test_several_that_raise_are_all_named(observe):
    a = Recorder()
    with pytest.raises(RuntimeError, match=r"2 of 3 loggers failed: OSError: disk full; OSError: offline"):
        LoggerSink([Broken(), Broken("offline"), a]).write(observe())
    assert len(a.calls) == 1


def test_a_writer_that_cannot_draw_is_left_alone(observe):
    logger = Drawing()  # no add_custom_scalars: not a SummaryWriter
    LoggerSink([logger]).write(observe())
    assert logger.drawn == []


def test_an_experiment_that_cannot_be_had_is_an_error_like_another(observe):
    class Offline(Recorder):
        @property
        def experiment(self):
            raise ConnectionError("no server")

    broken, after = Offline(), Recorder()
    with pytest.raises(ConnectionError):
        LoggerSink([broken, after]).write(observe())
    assert len(after.calls) == 1


def test_bad_prefix_is_refused_at_once():
    with pytest.raises(ValueError, match="prefix"):
        LoggerSink([], prefix="a/b")


class OldMlflow:
    """The client of MLflow before 2.14, whose pictures have no step."""

    def __init__(self):
        self.files = {}

    def log_batch(self, run_id, metrics):
        raise AssertionError("scalars go through the logger")

    def log_image(self, run_id, image, artifact_file):
        self.files[run_id, artifact_file] = image.shape

    def log_text(self, run_id, text, artifact_file):
        self.files[run_id, artifact_file] = text


def test_an_old_mlflow_gets_a_file_a_step(observe):
    logger = Recorder()
    logger.experiment, logger.run_id, logger._prefix = OldMlflow(), "abc", "mine"
    sink = LoggerSink([logger], figures_every_n=2)
    sink.write(observe(0))
    sink.write(observe(1))
    sink.close()
    names = [name for run, name in logger.experiment.files if run == "abc"]
    assert [n for n in names if "2_rank_curve" in n] == [
        f"mine-factorlens_figures/2_rank_curve/step_{step:07d}.png" for step in (7, 107)
    ]
    assert {n for n in names if n.endswith(".md")} == {"mine-factorlens/how_to_read.md", "mine-factorlens/result.md"}


def test_lightnings_csv_logger(observe, tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger, o = loggers.CSVLogger(tmp_path), observe()
    LoggerSink([logger]).write(o)
    logger.save()
    with open(logger.experiment.metrics_file_path) as file:
        (row,) = csv.DictReader(file)
    assert int(row.pop("step")) == o.step
    assert {tag: float(value) for tag, value in row.items()} == pytest.approx(monitored_scalars(o) | other_scalars(o))
