"""An error or an interrupt ends a run as the end of ``fit`` does: once, with sinks, figures and summary."""

import logging
import signal
import warnings

import pytest
import torch
from broken_lens import EPOCHS, STEPS, Net, data, lens
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_factorlens.loggers.json_lines import JSONLinesSink, read_jsonl

ENDS = (RuntimeError, KeyboardInterrupt, torch.OutOfMemoryError)


class CountingSink:
    def __init__(self):
        self.n_written = 0
        self.n_closed = 0

    def write(self, observation):
        self.n_written += 1

    def close(self):
        self.n_closed += 1


class Validated(Net):
    """A module with a validation step, which fails in one epoch if it is told to."""

    error = None
    fails_in = "training"

    def training_step(self, batch, batch_idx):
        if self.error is not None and self.fails_in == "training" and self.current_epoch == 1:
            raise self.error("the user's error")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        is_due = self.trainer.sanity_checking if self.fails_in == "sanity check" else self.current_epoch == 1
        if self.error is not None and self.fails_in != "training" and is_due:
            raise self.error("the user's error")

    def on_validation_epoch_end(self):
        pass


def fit(callback, error=None, fails_in="training", *others, **options):
    torch.manual_seed(3)
    module = Validated()
    module.error, module.fails_in = error, fails_in
    arguments = {"max_epochs": EPOCHS, "logger": False, "num_sanity_val_steps": 1, **options}
    trainer = Trainer(
        callbacks=[*others, callback],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **arguments,
    )
    trainer.fit(module, data(), data())
    return trainer, module


def interrupted(callback, error, fails_in="training", *others, **options):
    """Trains until the error, and returns the module."""
    modules = []

    class Keep(Callback):
        def setup(self, trainer, pl_module, stage):
            modules.append(pl_module)

    expected = SystemExit if error is KeyboardInterrupt else error
    with pytest.raises(expected):
        fit(callback, error, fails_in, Keep(), *others, **options)
    return modules[0]


def n_hooks(module):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.fixture(autouse=True)
def interrupts():
    """Lightning ignores further interrupts after the first one, for the rest of the process."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def log(caplog, monkeypatch):
    """Everything that is printed."""
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        yield caplog


@pytest.mark.parametrize("error", ENDS)
@pytest.mark.parametrize("where", ["training", "validation"])
def test_sinks_are_closed_and_the_summary_is_printed_once(error, where, log):
    sinks = [CountingSink(), CountingSink()]
    callback = lens(sinks=sinks, verbose=True)
    module = interrupted(callback, error, where)
    assert [(sink.n_written, sink.n_closed) for sink in sinks] == [(2, 1), (2, 1)]
    assert log.text.count("FactorLens, summary of the run") == 1
    assert log.text.count("FactorLens: 2 observations in") == 1
    assert [o.epoch for o in callback.history] == [0, 1]
    assert n_hooks(module) == 0


@pytest.mark.parametrize("error", ENDS)
def test_the_same_callback_can_be_used_in_another_fit(error, tmp_path):
    counting, lines = CountingSink(), JSONLinesSink(tmp_path / "curves.jsonl")
    callback = lens(sinks=[counting, lines])
    interrupted(callback, error)
    assert [o.epoch for o in read_jsonl(lines.path)] == [0, 1]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="FactorLens")
        fit(callback)
    assert (counting.n_written, counting.n_closed) == (2 + EPOCHS + 1, 2)
    assert [o.epoch for o in callback.history] == list(range(EPOCHS + 1))
    assert [o.epoch for o in read_jsonl(lines.path)] == list(range(EPOCHS + 1))


def test_the_last_figures_are_drawn_and_the_result_is_written(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    interrupted(lens(figures_every_n=5), RuntimeError, logger=logger)
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0, "tensors": 0}).Reload()
    tag = next(tag for tag in events.Tags()["images"] if tag.endswith("alpha"))
    assert [event.step for event in events.Images(tag)] == [0, STEPS - 1]
    assert "factorlens/result/text_summary" in events.Tags()["tensors"]


@pytest.mark.parametrize("error", ENDS)
def test_an_interrupt_in_the_sanity_check_closes_nothing_because_nothing_was_opened(error, log):
    sink = CountingSink()
    callback = lens(sinks=[sink], verbose=True)
    interrupted(callback, error, "sanity check")
    assert (sink.n_written, sink.n_closed) == (0, 0)
    assert "FactorLens" not in log.text
    fit(callback)
    assert (sink.n_written, sink.n_closed) == (EPOCHS + 1, 1)
    interrupted(callback, error, "sanity check")  # the end of the earlier run is not repeated
    assert sink.n_closed == 1


@pytest.mark.parametrize(("first_epoch", "n_written"), [(0, 0), (1, 2)])
def test_an_interrupt_inside_an_observation_leaves_the_model_as_found(first_epoch, n_written):
    class Interrupt(Callback):
        def setup(self, trainer, pl_module, stage):
            def fail(module, *_):
                if not module.training and callback._is_running and trainer.current_epoch >= first_epoch:
                    raise KeyboardInterrupt

            self.handle = pl_module.relu.register_forward_hook(fail)

        def on_exception(self, trainer, pl_module, exception):
            self.handle.remove()
            self.module = pl_module
            self.modes = [module.training for module in pl_module.modules()]

    sink, interrupt = CountingSink(), Interrupt()
    callback = lens(sinks=[sink])
    with pytest.raises(SystemExit):
        fit(callback, None, "training", interrupt)
    assert (sink.n_written, sink.n_closed) == (n_written, 1)
    assert all(interrupt.modes)
    assert callback.state.n_failed == 0
    assert n_hooks(interrupt.module) == 0
    assert "log_dict" not in vars(interrupt.module)


def test_an_error_of_a_later_callback_at_the_end_of_fit_does_not_repeat_the_end(log):
    class Fails(Callback):
        def on_fit_end(self, trainer, pl_module):
            raise RuntimeError("in a user's callback")

    sink = CountingSink()
    callback = lens(sinks=[sink], verbose=True)
    with pytest.raises(RuntimeError, match="in a user's callback"):
        Trainer(
            callbacks=[callback, Fails()], accelerator="cpu", logger=False, enable_progress_bar=False, max_epochs=1,
            enable_model_summary=False, enable_checkpointing=False,
        ).fit(Net(), data())  # fmt: skip
    assert sink.n_closed == 1
    assert log.text.count("FactorLens, summary of the run") == 1


def test_a_sink_that_fails_while_an_interrupted_run_is_closed_hides_neither_the_error_nor_other_sinks():
    class Broken(CountingSink):
        def close(self):
            super().close()
            raise OSError("disk is gone")

    sinks = [Broken(), CountingSink()]
    with pytest.warns(UserWarning, match="OSError: disk is gone"):
        interrupted(lens(sinks=sinks), RuntimeError)
    assert [sink.n_closed for sink in sinks] == [1, 1]


def test_an_error_outside_of_fit_is_no_end_of_a_run():
    sink = CountingSink()
    callback = lens(sinks=[sink])
    trainer, module = fit(callback)

    class Fails(Callback):
        def on_validation_start(self, trainer, pl_module):
            raise RuntimeError("in validation")

    trainer.callbacks.append(Fails())
    with pytest.raises(RuntimeError, match="in validation"):
        trainer.validate(module, data())
    assert sink.n_closed == 1
