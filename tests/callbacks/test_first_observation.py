"""Before training only a wrong configuration ends a run; every other failure follows ``on_error``."""

import errno
import warnings

import pytest
import torch
from broken_lens import EPOCHS, FULL, OOM, FragileDataset, SecondLogger, lens, train
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.callbacks._failures import is_configuration_error
from lightning_factorlens.capture.out_of_memory import is_out_of_memory
from lightning_factorlens.factorization.row_norms import NonFiniteError
from lightning_factorlens.measurements import Measurement, Scalar, default_measurements

IO = OSError(errno.EIO, "Input/output error")
HOST_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried")


@pytest.fixture(scope="module")
def alone():
    """The end of training without the lens."""
    warnings.simplefilter("ignore")
    return train(None)


class BrokenUntil(Callback):
    """The model's evaluation fails until the end of an epoch."""

    def __init__(self, error, epoch, layer="relu"):
        self.error, self.epoch, self.layer = error, epoch, layer

    def setup(self, trainer, pl_module, stage):
        def fail(module, args, output):
            if not module.training:
                if isinstance(self.error, Exception):
                    raise self.error
                return output * self.error

        self.handle = getattr(pl_module, self.layer).register_forward_hook(fail)

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            self.handle.remove()


def observed_with_one_warning(callback, *others, folder=None, **options):
    """Trains, and returns the end of training and the lens's only warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(folder, *others, callback, **options)
    found = [str(w.message) for w in caught if "FactorLens" in str(w.message)]
    assert len(found) == 1, found
    assert found[0].startswith("FactorLens could not observe: ")
    return end, found[0]


@pytest.mark.parametrize("error", [OOM, MemoryError("host"), HOST_MEMORY, IO, ConnectionError("licence server")])
def test_an_error_in_the_pass_that_finds_the_layers_is_no_configuration_error(error, alone):
    callback = lens()
    end, warning = observed_with_one_warning(callback, BrokenUntil(error, 1))
    assert str(error)[:30] in warning
    assert "without values until one succeeds" in warning
    assert end == alone
    assert callback.state.n_failed == 2  # before training and after the first epoch
    assert [o.epoch for o in callback.history] == [2, 3]
    assert callback.state.layers == ["relu", "relu-2"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_values_that_are_not_finite_at_initialisation_are_reported(value, alone):
    callback = lens()
    end, warning = observed_with_one_warning(callback, BrokenUntil(value, 0))
    assert "NaN or infinite" in warning
    assert end == alone
    assert [o.epoch for o in callback.history] == [1, 2, 3]


@pytest.mark.parametrize("error", [IO, OOM, ValueError("a broken file"), KeyError("label"), RuntimeError("worker")])
def test_a_dataset_that_fails_while_the_probe_is_drawn_is_drawn_from_later(error, alone):
    dataset = FragileDataset()
    dataset.error = error

    class Repair(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            dataset.error = error if trainer.current_epoch == 0 else None

    callback = lens(probe=dataset)
    end, warning = observed_with_one_warning(callback, Repair())
    assert type(error).__name__ in warning
    assert end == alone
    assert [o.epoch for o in callback.history] == [2, 3]


@pytest.mark.parametrize("error", [IO, ValueError("a broken file")])
def test_a_run_whose_probe_can_never_be_drawn_ends_as_it_would_have(error, alone, tmp_path):
    dataset = FragileDataset()
    dataset.error = error
    callback = lens(probe=DataLoader(dataset, 4))
    end, _ = observed_with_one_warning(callback)
    assert end == alone
    assert callback.observation is None
    assert callback.metrics == {}
    with pytest.raises(type(error)):
        train(tmp_path, lens(probe=dataset, on_error="raise"))


class BadSink:
    """A sink that fails until it is repaired, and counts its calls."""

    def __init__(self, error=None):
        self.error = error
        self.n_written = 0
        self.n_closed = 0

    def write(self, observation):
        if self.error is not None:
            raise self.error
        self.n_written += 1

    def close(self):
        self.n_closed += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    "error", [OSError("tracking server is down"), ConnectionError("413"), ValueError("closed file")]
)
def test_a_sink_that_fails_at_the_first_write_keeps_no_other_from_being_written_and_closed(error, alone):
    sinks = [BadSink(), BadSink(error), BadSink()]
    callback = lens(sinks=sinks)
    end, warning = observed_with_one_warning(callback)
    assert str(error) in warning
    assert end == alone
    assert callback.metrics  # the values are known, although one sink could not write them
    assert [sink.n_written for sink in sinks] == [EPOCHS + 1, 0, EPOCHS + 1]
    assert [sink.n_closed for sink in sinks] == [1, 1, 1]


def test_a_logger_that_fails_and_recovers_misses_only_those_points(alone, tmp_path):
    loggers = [CSVLogger(tmp_path, name="a"), SecondLogger(tmp_path, name="b")]
    written = []

    class Outage(Callback):
        def setup(self, trainer, pl_module, stage):
            loggers[1].error = FULL

        def on_train_epoch_start(self, trainer, pl_module):
            loggers[1].error = FULL if trainer.current_epoch in (0, 2) else None

    log_metrics = CSVLogger.log_metrics

    def record(self, metrics, step=None):
        if "factorlens_spectra/mean_alpha" in metrics:
            written.append((self.name, step))
        log_metrics(self, metrics, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CSVLogger, "log_metrics", record)
        end, warning = observed_with_one_warning(lens(background=False), Outage(), logger=loggers)
    assert "No space left" in warning
    assert end == alone
    assert [step for name, step in written if name == "a"] == [0, 1, 3, 5]
    assert [step for name, step in written if name == "b"] == [3]


@pytest.mark.slow
def test_callbacks_that_monitor_a_lens_without_values_do_not_end_the_run(alone, tmp_path):
    stop = EarlyStopping("factorlens_spectra/mean_alpha", patience=1, check_on_train_epoch_end=True)
    keep = ModelCheckpoint(tmp_path, monitor="factorlens_spectra/mean_alpha", save_on_train_epoch_end=True)
    others = (stop, keep, LabelFreeStopping(monitor="factorlens_spectra/mean_alpha", mode="stop"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(None, *others, BrokenUntil(OOM, 99), lens(), enable_checkpointing=True)
    assert sum("could not observe" in str(w.message) for w in caught) == 1
    assert end == alone
    assert stop.check_finite


def test_finite_values_are_checked_again_once_there_are_values(alone):
    stop = EarlyStopping("factorlens_spectra/mean_alpha", patience=9, check_on_train_epoch_end=True)
    seen = []

    class See(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append((stop.check_finite, float(trainer.callback_metrics["factorlens_spectra/mean_alpha"])))

    end, _ = observed_with_one_warning(lens(), stop, See(), BrokenUntil(OOM, 0))
    assert end == alone
    assert [finite for finite, _ in seen] == [False, True, True]
    assert torch.isnan(torch.tensor(seen[0][1]))
    assert seen[1][1] > 0


@pytest.mark.filterwarnings("ignore:FactorLens could not observe")
def test_a_monitor_of_an_unknown_tag_is_refused_although_the_first_observation_fails():
    stop = EarlyStopping("factorlens/nothing", check_on_train_epoch_end=True)
    with pytest.raises(MisconfigurationException, match="logs no such value; there are: "):
        train(None, stop, BrokenUntil(OOM, 0), lens())


class Wrong(Measurement):
    """Returns a quantity that it does not declare."""

    name = "wrong"
    needs = frozenset()
    scalars = (Scalar("declared", "{prefix}/declared", "A number."),)

    def measure(self, context):
        return {"undeclared": 1.0}


class Failing(Wrong):
    def measure(self, context):
        raise ValueError("the user's own error")


def test_a_measurement_with_a_wrong_result_is_refused_and_one_that_fails_is_reported(alone):
    with pytest.raises(ValueError, match="'wrong' returned 'undeclared'"):
        train(None, lens(measurements=[*default_measurements(), Wrong()]))
    end, warning = observed_with_one_warning(lens(measurements=[*default_measurements(), Failing()]))
    assert "the user's own error" in warning
    assert end == alone


def test_a_model_that_refuses_the_probe_is_a_wrong_configuration(tmp_path):
    class Refuses(Callback):
        def setup(self, trainer, pl_module, stage):
            def check(module, args):
                if not module.training:
                    raise ValueError("expected three channels")

            pl_module.register_forward_pre_hook(check)

    with pytest.raises(MisconfigurationException, match=r"expected three channels. Define `forward\(self, x\)`"):
        train(tmp_path, Refuses(), lens())


def test_a_logger_that_fails_before_training_is_reported(alone, tmp_path, monkeypatch):
    def fail(*args):
        raise FULL

    monkeypatch.setattr("lightning_factorlens.callbacks.factorlens_callback.write_hparams", fail)
    end, warning = observed_with_one_warning(lens(), folder=tmp_path)
    assert "No space left" in warning
    assert end == alone


def error_in_package():
    """An error that this package has raised, with its traceback."""
    try:
        lens(probe_size=0)
    except ValueError as error:
        return error


def error_elsewhere():
    try:
        int("x")
    except ValueError as error:
        return error


def test_which_errors_are_about_the_configuration():
    assert is_configuration_error(MisconfigurationException("no probe"))
    assert is_configuration_error(error_in_package())
    assert not is_configuration_error(error_elsewhere())
    assert not is_configuration_error(ValueError("never raised"))
    assert not is_configuration_error(NonFiniteError("NaN"))
    assert not is_configuration_error(OSError("disk"))


def test_exhausted_memory_is_recognised_whoever_reports_it():
    for error in (OOM, HOST_MEMORY, MemoryError(), RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
