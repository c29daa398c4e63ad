"""Which failures end a run before training; all others follow ``on_error``, and are reported once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens._validation import raised_by_package
from lightning_factorlens.callbacks._module_forward import as_sentence
from lightning_factorlens.distributed import PeerError
from lightning_factorlens.run_state import RunState


def attempt(trainer: Trainer, work: Callable[[], None], on_error: str, before_training: bool) -> Exception | None:
    """Does some work on all ranks, and decides on all ranks alike what follows a failure.

    Args:
        trainer: The Trainer.
        work: A function that fails on all ranks together, see `SingleProcess.synchronized_errors`.
        on_error: ``"raise"`` raises every failure.
        before_training: Whether an error in the configuration is raised in any case.

    Returns:
        The failure that is to be reported; None where there is none.

    Raises:
        Exception: The failure that ends the run, on the other ranks as a `PeerError`.
    """
    failure: Exception | None = None
    try:
        work()
    except Exception as error:
        failure = error
    ends_run = failure is not None and on_error == "raise"
    if before_training:
        is_misconfigured = failure is not None and is_configuration_error(failure)
        ends_run = trainer.strategy.reduce_boolean_decision(ends_run or is_misconfigured, all=False)
    if failure is not None and ends_run:
        raise failure
    return failure


def is_configuration_error(error: BaseException) -> bool:
    """Whether an error before training means that the lens can never work as it was configured.

    This package reports a wrong argument as a `ValueError` or a `TypeError`, and what is wrong in the Trainer or in the
    way the model is called as a ``MisconfigurationException``. The same classes raised by a dataset, a model, a logger
    or a library do not count, nor does an `ArithmeticError`, which is about values that training may change.

    Args:
        error: The error that ended the preparation or the first observation.
    """
    if isinstance(error, MisconfigurationException):
        return True
    is_about_arguments = isinstance(error, (ValueError, TypeError)) and not isinstance(error, ArithmeticError)
    return is_about_arguments and raised_by_package(error)


def report_failure(failure: Exception, state: RunState) -> None:
    """Counts a failure, and warns of the first one of a run.

    Args:
        failure: The failure.
        state: The run's state.
    """
    state.n_failed += 1
    if state.n_failed == 1:
        values = "with the last observation's values" if state.metrics else "without values until one succeeds"
        rank_zero_warn(
            f"FactorLens could not observe: {as_sentence(f'{type(failure).__name__}: {failure}')} Training goes on "
            f"{values}, and further failures are not reported; pass on_error='raise' for a traceback."
        )


@contextmanager
def guarded(state: RunState, kept: list[Exception] | None = None) -> Iterator[None]:
    """Reports a failure inside the context, which need not happen on all ranks, and goes on.

    Args:
        state: The run's state.
        kept: Receives the failure in place of a report, for a caller that raises it after further steps.
    """
    try:
        yield
    except Exception as error:
        if kept is None:
            report_failure(error, state)
        else:
            state.n_failed += 1
            kept.append(error)


def raise_everywhere(trainer: Trainer, kept: list[Exception] | None) -> None:
    """Raises the failure that one rank has kept on all ranks, so that none waits for another; a collective operation.

    Args:
        trainer: The Trainer.
        kept: The failures of this rank; None, on all ranks alike, where none are kept, and nothing is done.

    Raises:
        Exception: The failure, on the other ranks as a `PeerError`.
    """
    if kept is None or not trainer.strategy.reduce_boolean_decision(bool(kept), all=False):
        return
    if kept:
        raise kept[0]
    raise PeerError("FactorLens has failed in another process, and on_error='raise' ends the run in all.")
