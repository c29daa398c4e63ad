"""What stands beside us in a Trainer: who monitors us, who logs under our prefix, the user's hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens._private_api import checks_on_train_epoch_end, save_on_train_epoch_end_method
from lightning_factorlens.measurements import Scalar


def check_monitors(trainer: Trainer, prefix: str, available: Mapping[str, float]) -> None:
    """A callback that monitors us must ask for what there is, and act after the look rather than before.

    Raises:
        MisconfigurationException: Naming the callback and the argument to change.
    """
    others = [scalar.tag.format(prefix=prefix) for scalar in foreign_scalars(trainer, prefix)]
    for callback, monitor in _monitors(trainer, prefix):
        call = f"{type(callback).__name__}(monitor={monitor!r})"
        if monitor not in available and monitor not in others:
            known = ", ".join(sorted({*available, *others}))
            raise MisconfigurationException(f"{call}: FactorLens logs no such value; there are: {known}.")
        saves = save_on_train_epoch_end_method(callback)
        late = checks_on_train_epoch_end(callback) if saves is None else saves(trainer)
        if late is False:
            flag = "check_on_train_epoch_end" if saves is None else "save_on_train_epoch_end"
            raise MisconfigurationException(
                f"{call} acts after validation, FactorLens looks after that, at the end of the training epoch; "
                f"pass {flag}=True."
            )


def rewind_wait_count(trainer: Trainer, prefix: str) -> None:
    """A value that is logged again is no new evidence: patience counts looks, not epochs.

    EarlyStopping will read the old value and count one up; this takes that one back in advance.
    """
    for callback in early_stoppings(trainer, prefix):
        callback.wait_count -= 1


def early_stoppings(trainer: Trainer, prefix: str) -> list[EarlyStopping]:
    """Those that monitor us."""
    return [callback for callback, _ in _monitors(trainer, prefix) if isinstance(callback, EarlyStopping)]


def _monitors(trainer: Trainer, prefix: str) -> Iterator[tuple[Any, str]]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith(f"{prefix}/"):
            yield callback, monitor


def foreign_scalars(trainer: Trainer, prefix: str) -> list[Scalar]:
    """Scalars that other callbacks of this prefix log; they declare them in their attribute ``scalars``."""
    found = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        declared = getattr(callback, "scalars", ())
        if getattr(callback, "prefix", None) == prefix and isinstance(declared, (tuple, list)):
            found += [scalar for scalar in declared if isinstance(scalar, Scalar)]
    return found


def hyperparameters(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """The user's, of the module and of the datamodule; the name of the module's class where there are none."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    found = {**pl_module.hparams, **getattr(datamodule, "hparams", {})}
    return found or {"model": type(pl_module).__name__}
