"""Spectra and figures beside the training: the same numbers, and nothing lost."""

import copy
import threading
import warnings
from unittest.mock import Mock

import numpy as np
import pytest
from broken_lens import EPOCHS, lens, points, train
from lightning.pytorch.callbacks import Callback, EarlyStopping
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from lightning_factorlens.background import BackgroundWorker, Task
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.loggers.figure_writer import FigureWriter
from lightning_factorlens.loggers.media import MediaLogger
from lightning_factorlens.measurements import FigureSpec, Measurement, WeightSpectra, default_measurements

ALPHA = "factorlens_spectra/mean_alpha"


class Drawing(Measurement):
    """A measurement with a figure; it remembers on which threads that was drawn."""

    name = "drawing"

    def __init__(self):
        self.threads = []
        self.figures = (FigureSpec("own", self.draw, "help"),)

    def measure(self, context):
        return None

    def draw(self, history):
        self.threads.append(threading.current_thread().name)
        return Figure(figsize=(1, 1))


class Gate:
    """Keeps the thread beside the training busy from the end of an epoch until it is opened."""

    def __init__(self, callback):
        self.callback = callback
        self.event = threading.Event()

    def block(self):
        self.callback._worker.submit(self.event.wait)


def in_order(folder):
    """The steps of every scalar in the order in which they were written."""
    steps = {}
    for file in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if "text" not in value.tag:
                    steps.setdefault(value.tag, []).append(event.step)
    return steps


def test_what_is_logged_and_trained_is_the_same_with_and_without_the_thread(tmp_path):
    drawing = Drawing()
    ends = []
    for background in (True, False):
        measurements = [*default_measurements(), drawing]
        callback = lens(
            outputs="classes", detail="all", background=background, measurements=measurements, figures_every_n=1
        )
        ends.append(train(tmp_path / str(background), callback))
    assert ends[0] == ends[1]
    assert points(tmp_path / "True") == points(tmp_path / "False")
    written, expected = in_order(tmp_path / "True"), in_order(tmp_path / "False")
    assert written == expected
    assert all(steps == sorted(steps) for steps in written.values())
    assert len(written["factorlens_cost/seconds"]) == EPOCHS + 1
    assert drawing.threads == ["factorlens"] * (EPOCHS + 1) + ["MainThread"] * (EPOCHS + 1)


def test_training_goes_on_while_spectra_are_computed_and_checkpoints_wait_for_them(tmp_path):
    callback = lens(outputs="classes")
    gate = Gate(callback)
    found = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                gate.block()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 2 and batch_idx == 1:
                found.append("weight_spectra" in callback._results.observation)
                gate.event.set()
                state = callback.state_dict()
                restored = callback._results._new_state().from_state_dict(state)
                found.append("weight_spectra" in restored.history[-1])
                found.append(trainer.callback_metrics[ALPHA].item())
                callback.on_save_checkpoint(trainer, pl_module, {})
                found.append(trainer.callback_metrics[ALPHA].item())

    train(tmp_path, Watch(), callback)
    alphas = [value for (tag, _), value in sorted(points(tmp_path).items(), key=lambda p: p[0][1]) if tag == ALPHA]
    assert len(alphas) == EPOCHS + 1
    assert found == [False, True, pytest.approx(alphas[1]), pytest.approx(alphas[2])]


def test_who_asks_for_the_observation_waits_for_it_and_monitored_values_are_known_at_once():
    asked, monitored = [], []
    callback = lens(outputs="classes")

    class Ask(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            asked.append("weight_spectra" in callback.observation)
            asked.append(ALPHA in callback.epoch_metrics)

    class Monitor(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            last = watched._results.observation
            monitored.append(last["weight_spectra"].summary.mean_alpha == watched.known_epoch_metrics[ALPHA])

    train(None, callback, Ask())
    watched = lens(outputs="classes")
    train(None, watched, EarlyStopping(ALPHA, patience=50, check_on_train_epoch_end=True), Monitor())
    assert asked == [True] * 2 * EPOCHS
    assert monitored == [True] * EPOCHS


def test_a_failure_beside_the_training_is_reported_once_and_costs_no_other_number(tmp_path, monkeypatch):
    healthy = lens(outputs="classes")
    end = train(tmp_path / "healthy", healthy)
    summarise = WeightSpectra._summary
    calls = []

    def fail_later(self, context, spectra):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("no summary")
        return summarise(self, context, spectra)

    monkeypatch.setattr(WeightSpectra, "_summary", fail_later)
    callback = lens(outputs="classes")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert train(tmp_path / "failing", callback) == end
    messages = [str(w.message) for w in caught if "FactorLens" in str(w.message)]
    assert len(messages) == 1
    assert "no summary" in messages[0]
    written = points(tmp_path / "failing")
    expected = {
        k for k in points(tmp_path / "healthy") if not k[0].startswith(("factorlens_spectra", "factorlens_best"))
    }
    assert expected <= written.keys()
    assert {step for tag, step in written if tag == ALPHA} == {0}
    with pytest.raises(RuntimeError, match="no summary"):
        train(tmp_path / "raising", lens(outputs="classes", on_error="raise"))


def test_the_cost_of_an_observation_contains_what_writing_it_took(tmp_path):
    callback = lens(outputs="classes", figures_every_n=2)
    train(tmp_path, callback)
    costs = [observation["cost"].seconds for observation in callback.history]
    assert all(cost["total"] >= sum(s for phase, s in cost.items() if phase != "total") * 0.999 for cost in costs)
    without_figures, with_figures = costs[1]["writing"], costs[2]["writing"]
    assert with_figures > without_figures > 0
    budget = callback._results.state.budget
    assert budget.total_seconds >= sum(cost["total"] for cost in costs)


def test_an_interrupt_while_training_waits_for_the_thread_loses_nothing(tmp_path, monkeypatch):
    callback = lens(outputs="classes", measurements=[WeightSpectra()], max_overhead=None)
    gate = Gate(callback)
    wait = Task.wait

    def interrupted(task):
        monkeypatch.setattr(Task, "wait", wait)
        gate.event.set()
        raise KeyboardInterrupt

    class Interrupt(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                gate.block()
            if trainer.current_epoch == 2:
                monkeypatch.setattr(Task, "wait", interrupted)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, Interrupt(), callback)
    assert len(callback.history) == len({step for tag, step in points(tmp_path) if tag == ALPHA}) == 3


def test_figures_are_finished_after_an_interrupt_of_the_wait_for_them(monkeypatch):
    worker = BackgroundWorker()
    budget = OverheadBudget()
    budget.start()
    shown = []

    class Logger(MediaLogger):
        def log_image(self, tag, pixels, step):
            shown.append((tag, step))

        def log_text(self, tag, text, step):
            pass

    writer = FigureWriter({}, "lens", budget, worker)
    writer.start(lambda: {"own": np.zeros((1, 1, 4), np.uint8)}, [Logger()], 7)
    with monkeypatch.context() as patch:
        patch.setattr(Task, "wait", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            writer.finish()
    writer.finish()
    worker.close()
    assert shown == [("lens_figures/own", 7)]


def test_the_callback_can_be_copied_while_the_thread_works():
    callback = lens(outputs="classes")
    gate = Gate(callback)
    copies = []

    class Copy(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            gate.event.set()
            if callback._unfinished.lacks_records:
                copies.append(copy.deepcopy(callback))

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.current_epoch == 1:
                gate.event.clear()
                gate.block()

    train(None, Copy(), callback)
    assert copies
    assert all("weight_spectra" in copied.observation for copied in copies)
