"""Something fails while the lens observes: training ends as it would have, with one warning, and keeps what was logged."""

import warnings
from contextlib import ExitStack

import pytest
import torch
from broken_lens import (
    CLOSING,
    EPOCHS,
    FAULTS,
    FIGURES,
    FULL,
    STEPS,
    WRITING,
    FragileDataset,
    Sabotage,
    UserSink,
    hook_raises,
    lens,
    points,
    raiser,
    train,
)
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from lightning_factorlens import FactorLensCallback

WHEN = {"in the first epoch": {0}, "in the last": {EPOCHS - 1}, "always": set(range(EPOCHS))}


@pytest.fixture(scope="module")
def alone():
    """The end of training without the lens."""
    warnings.simplefilter("ignore")
    return train(None)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """What a lens logs when nothing fails."""
    folder = tmp_path_factory.mktemp("healthy")
    train(folder, lens(outputs="classes", detail="all"))
    return points(folder)


def messages(caught):
    return [str(w.message) for w in caught if "FactorLens" in str(w.message)]


#: Faults, one of each kind, that are tried at every time; all others are always there.
AT_EVERY_TIME = ("hook raises", "solver diverges", "disk is full")


def fault_cases():
    for fault in FAULTS:
        for when in WHEN:
            is_slow = when != "always" and fault not in AT_EVERY_TIME
            yield pytest.param(fault, when, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.parametrize(("fault", "when"), fault_cases())
def test_training_ends_as_it_would_have_with_one_warning(fault, when, alone, healthy, tmp_path):
    breaks, options = FAULTS[fault]
    probe = {"probe": FragileDataset()} if fault == "probe cannot be drawn" else {}
    # without the user's word the first observation would be written in the first epoch, and would fail there
    # what is written in the background may be written after the fault
    timing = {"background": False} if fault in WRITING else {}
    callback = lens(outputs="classes", detail="all", **probe, **options, **timing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(breaks, WHEN[when]), callback)
    assert len(messages(caught)) == 1, messages(caught)
    assert "FactorLens could not observe" in messages(caught)[0]
    assert end == alone
    assert callback.state.n_failed == len(WHEN[when])
    written = points(tmp_path)
    before = {k: v for k, v in healthy.items() if k[1] < STEPS * min(WHEN[when]) + STEPS - 1}
    assert any("factorlens" in tag for tag, _ in before)
    if not options:  # the same lens as the healthy one
        assert all(written[k] == v for k, v in before.items())
    expected = {("factorlens_spectra/mean_alpha", STEPS * (e + 1) - 1) for e in range(EPOCHS)}
    if fault not in WRITING:  # a failed observation logs no point, a later one does
        failed = {("factorlens_spectra/mean_alpha", STEPS * (e + 1) - 1) for e in WHEN[when]}
        assert expected & written.keys() == expected - failed


@pytest.mark.parametrize("fault", ["hook raises", "solver diverges", "disk is full", "layer gives NaN"])
def test_a_lens_that_observes_by_steps_fails_with_one_warning_too(fault, alone, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path, Sabotage(FAULTS[fault][0], {1, 2}), lens(every_n_train_steps=1))
    assert len(messages(caught)) == 1
    assert end == alone


@pytest.mark.parametrize("fault", ["hook raises", "layer is skipped", "solver diverges", "sink fails"])
def test_on_error_raise_raises(fault, tmp_path):
    with pytest.raises((RuntimeError, PermissionError)):
        train(tmp_path, Sabotage(FAULTS[fault][0], {1}), lens(on_error="raise", background=fault != "sink fails"))


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.slow if "images" in f else ()) for f in CLOSING])
def test_a_failure_while_closing_only_warns(fault, alone, healthy, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(
            tmp_path, Sabotage(CLOSING[fault], {EPOCHS - 1, EPOCHS}), lens(figures_every_n=2 * EPOCHS, detail="all")
        )
    assert len(messages(caught)) == 1, messages(caught)
    assert end == alone
    assert healthy.items() <= points(tmp_path).items()


@pytest.mark.parametrize("fault", ["the summary fails", "the sink's close fails"])
def test_a_failure_while_closing_is_raised_after_all_is_closed_with_on_error_raise(fault, tmp_path):
    closed = []

    class Closing(UserSink):
        def close(self):
            closed.append(self)

    callback = lens(on_error="raise", sinks=[UserSink(), Closing()], verbose=fault == "the summary fails")
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path, AtEnd(CLOSING[fault]), callback)
    assert len(closed) == 1
    assert callback.state.n_failed == 1
    assert len(callback.history) == EPOCHS + 1


class AtEnd(Callback):
    """Something is broken from the end of the training on."""

    def __init__(self, breaks):
        self.breaks, self.active = breaks, ExitStack()

    def on_train_end(self, trainer, pl_module):
        callback = next(c for c in trainer.callbacks if isinstance(c, FactorLensCallback))
        self.active.enter_context(self.breaks(callback, pl_module, trainer))

    def teardown(self, trainer, pl_module, stage):
        self.active.close()


def test_a_failure_in_writing_the_row_of_the_run_is_raised_before_training_with_on_error_raise(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_factorlens.callbacks.factorlens_callback.write_hparams", raiser(FULL))
    callback = lens(on_error="raise")
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path, callback)
    assert not callback.history


def test_an_error_of_the_training_is_not_hidden_by_one_of_closing(tmp_path):
    class Stopping(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            raise RuntimeError("the user's error")

    class Broken(UserSink):
        def close(self):
            raise OSError("no space")

    with pytest.raises(RuntimeError, match="the user's error"), pytest.warns(UserWarning, match="no space"):
        train(None, Stopping(), lens(on_error="raise", sinks=[Broken()]))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["ctrl-c", "exit"])
def test_an_interrupt_is_not_caught(error, tmp_path):
    callback = lens()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, Sabotage(hook_raises(error), {1}), callback)
    assert callback.state.n_failed == 0
    assert callback.state.n_measured == 2


@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=["NaN", "infinity"])
def test_weights_that_are_not_finite_are_reported(value, tmp_path):
    class Diverge(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.conv2.weight.data.fill_(value)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(tmp_path, Diverge(), lens())
    assert len(messages(caught)) == 1
    assert "NaN or infinite" in messages(caught)[0]


def changed(state, **changes):
    """The state with some entries replaced; ``...`` leaves an entry out."""
    return {k: v for k, v in {**state, **changes}.items() if v is not ...}


def with_nan(warm_start):
    return {**warm_start, "F": [factor * torch.nan for factor in warm_start["F"]]}


BROKEN_STATES = {
    "of an older lens": lambda s: changed(s, budget=..., probe_fingerprint=..., layer_patterns=...),
    "with NaN": lambda s: changed(s, warm_start=with_nan(s["warm_start"])),
    "of another callback": lambda s: {"best_score": torch.tensor(1.0)},
    "of wrong types": lambda s: changed(s, warm_start=3, metrics=None),
}


@pytest.mark.parametrize("broken", BROKEN_STATES)
def test_a_checkpoint_with_a_broken_state_can_be_resumed(broken, tmp_path):
    train(None, lens(), ModelCheckpoint(tmp_path, filename="kept"), enable_checkpointing=True, max_epochs=2)
    path = tmp_path / "kept.ckpt"
    kept = torch.load(path, weights_only=True)
    key = next(k for k in kept["callbacks"] if "FactorLens" in k)
    kept["callbacks"][key] = BROKEN_STATES[broken](kept["callbacks"][key])
    torch.save(kept, path)
    without_lens = train(None, ckpt_path=path)
    callback = lens()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(tmp_path / "b", callback, ckpt_path=path)
    assert len(messages(caught)) == 1
    assert "state" in messages(caught)[0]
    assert end == without_lens
    assert callback.state.n_measured >= 1
    with pytest.raises((KeyError, TypeError, ValueError)):
        train(None, lens(on_error="raise"), ckpt_path=path)


def test_factors_of_a_checkpoint_that_do_not_fit_are_not_used(tmp_path):
    train(None, lens(ranks=(1, 4)), ModelCheckpoint(tmp_path, filename="kept"), enable_checkpointing=True, max_epochs=2)
    callback = lens()
    end = train(tmp_path / "b", callback, ckpt_path=tmp_path / "kept.ckpt")
    assert end == train(None, ckpt_path=tmp_path / "kept.ckpt")
    assert callback.state.n_failed == 0
    assert torch.tensor(callback.observation["reconstruction_error"]["total"].rmse).isfinite().all()


@pytest.mark.parametrize("fault", [pytest.param(f, marks=pytest.mark.slow if f == "memory" else ()) for f in FIGURES])
def test_figures_that_fail_cost_no_scalars(fault, alone, healthy, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        end = train(
            tmp_path, Sabotage(FIGURES[fault], {EPOCHS - 1, EPOCHS}), lens(figures_every_n=EPOCHS, detail="all")
        )
    assert len(messages(caught)) == 1, messages(caught)
    assert end == alone
    assert healthy.items() <= points(tmp_path).items()
