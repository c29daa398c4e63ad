"""Every logger is written, whatever one of them does."""

import csv
from types import SimpleNamespace

import pytest
from lightning.pytorch import loggers
from observations import MEASUREMENTS

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.base import Sink
from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars


def all_scalars(observation, prefix="factorlens"):
    """What a sink writes of the first observation of a run, which is also the best one."""
    best = BestValues(MEASUREMENTS, prefix).update(observation)
    declared = monitored_scalars(observation, MEASUREMENTS, prefix) | other_scalars(observation, MEASUREMENTS, prefix)
    return declared | best


class Recorder:
    def __init__(self):
        self.calls = []

    def log_metrics(self, metrics, step=None):
        self.calls.append((dict(metrics), step))
        metrics.clear()  # some loggers change the dictionary that they are given


class Broken:
    def __init__(self, message="disk full"):
        self.message = message

    def log_metrics(self, metrics, step=None):
        raise OSError(self.message)


class Drawing(Recorder):
    """A logger whose writer takes figures and counts them."""

    def __init__(self):
        super().__init__()
        self.drawn = []
        self.experiment = SimpleNamespace(
            add_figure=lambda tag, *_: self.drawn.append(tag),
            add_histogram=lambda tag, *_, **__: self.drawn.append(tag),
        )


def test_every_logger_gets_everything_at_the_step(observe):
    o, a, b = observe(), Recorder(), Recorder()
    sink = LoggerSink([a, b], MEASUREMENTS, detail="all")
    assert isinstance(sink, Sink)
    sink.write(o)
    sink.close()
    assert a.calls == b.calls == [(all_scalars(o), o.step)]


def test_without_measurements_the_default_ones_are_declared(observe):
    o, a = observe(), Recorder()
    LoggerSink([a], detail="all").write(o)
    assert a.calls[0][0] == {tag: value for tag, value in all_scalars(o).items() if "12p5pct" not in tag}


def test_prefix_reaches_the_loggers(observe):
    o, a = observe(), Recorder()
    LoggerSink([a], MEASUREMENTS, prefix="student", detail="all").write(o)
    assert a.calls[0][0] == all_scalars(o, "student")


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


def test_a_writer_that_is_no_summary_writer_gets_scalars_only(observe):
    logger = Drawing()  # no add_custom_scalars
    LoggerSink([logger]).write(observe())
    assert logger.drawn == []


def test_an_experiment_that_raises_is_an_error_like_another(observe):
    class Offline(Recorder):
        @property
        def experiment(self):
            raise ConnectionError("no server")

    broken, after = Offline(), Recorder()
    with pytest.raises(ConnectionError):
        LoggerSink([broken, after]).write(observe())
    assert len(after.calls) == 1


def test_a_wrong_prefix_is_refused_at_once():
    with pytest.raises(ValueError, match="prefix"):
        LoggerSink([], prefix="a/b")


def test_loggers_without_figures_are_named_in_one_sentence(observe):
    sentences = []
    sink = LoggerSink([Recorder(), Broken(), Recorder()], MEASUREMENTS, notify=sentences.append)
    for epoch in (0, 1):
        with pytest.raises(OSError, match="disk full"):
            sink.write(observe(epoch))
    (sentence,) = sentences
    assert sentence.startswith("FactorLens: Recorder cannot show figures and gets all numbers.")


def test_without_figures_there_is_no_sentence_about_them(observe):
    sentences = []
    options = TensorBoardOptions(figures_every_n=0)
    LoggerSink([Recorder()], MEASUREMENTS, options=options, notify=sentences.append).write(observe())
    assert sentences == []


def test_lightnings_csv_logger(observe, tmp_path):
    logger, o = loggers.CSVLogger(tmp_path), observe()
    LoggerSink([logger], MEASUREMENTS, detail="all").write(o)
    logger.save()
    with open(logger.experiment.metrics_file_path) as file:
        (row,) = csv.DictReader(file)
    assert int(row.pop("step")) == o.step
    assert {tag: float(value) for tag, value in row.items()} == pytest.approx(all_scalars(o))
