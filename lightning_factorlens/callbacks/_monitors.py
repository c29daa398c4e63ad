"""Other callbacks in the same Trainer: those that monitor the lens, and those that log under its prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens._private_api.monitoring_callbacks import (
    checks_on_train_epoch_end,
    save_on_train_epoch_end_method,
    saves_by_steps,
)
from lightning_factorlens._private_api.trainer import callback_metrics_store
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.results.findings import StopAdvice


def check_monitors(
    trainer: Trainer,
    prefix: str,
    available: Collection[str],
    reasons: Mapping[str, str],
    observes_at_epoch_end: bool = True,
) -> None:
    """Checks the callbacks that monitor a scalar of the lens.

    Args:
        trainer: The Trainer.
        prefix: First part of the lens's tags.
        available: The tags of the lens's monitored scalars.
        reasons: Why others do not exist, by tag.
        observes_at_epoch_end: Whether the lens observes at the end of epochs; else it does so after some batches, and
            a callback that acts after validation finds the last of these observations.

    Raises:
        MisconfigurationException: A callback monitors a scalar that is not logged, or acts before the lens observes;
            the message names the callback and the argument to change.
    """
    foreign = [scalar.tag.format(prefix=prefix) for scalar in foreign_scalars(trainer, prefix)]
    for callback, monitor in _monitoring_callbacks(trainer, prefix):
        call = f"{type(callback).__name__}(monitor={monitor!r})"
        if monitor not in available and monitor not in foreign:
            known = ", ".join(sorted({*available, *foreign}))
            reason = f"the observation has {reasons[monitor]} " if monitor in reasons else ""
            raise MisconfigurationException(
                f"{call}: {reason}FactorLens logs no such value; there are: {known}. Pass one of these as `monitor`."
            )
        if not observes_at_epoch_end or saves_by_steps(callback):
            continue
        saves_method = save_on_train_epoch_end_method(callback)
        if saves_method is None:
            argument = "check_on_train_epoch_end"
            acts_at_epoch_end = checks_on_train_epoch_end(callback)
        else:
            argument = "save_on_train_epoch_end"
            acts_at_epoch_end = saves_method(trainer)
        if acts_at_epoch_end is False:
            raise MisconfigurationException(
                f"{call} acts after validation, FactorLens observes later, at the end of the training epoch; "
                f"pass {argument}=True."
            )


def rewind_wait_count(trainer: Trainer, prefix: str) -> None:
    """Makes patience count observations, not epochs, where an epoch has no new observation.

    ``EarlyStopping`` will read the old value again and increase its count; this decreases the count in advance.
    """
    for callback in early_stoppings(trainer, prefix):
        callback.wait_count -= 1


def publish_metrics(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Puts values where ``EarlyStopping``, ``ModelCheckpoint`` and plateau schedulers look for them.

    They are found at once and until the next call, also between two observations. What is logged with
    ``LightningModule.log`` in ``on_train_start`` only appears when the epoch ends, and is lost if a callback has
    attached the module to another Trainer meanwhile.

    Args:
        trainer: The Trainer; all of its ranks must pass the same values.
        metrics: Value by tag.
    """
    store = callback_metrics_store(trainer)
    dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
    for tag, value in metrics.items():
        store[tag] = torch.tensor(value, dtype=dtype, device=trainer.strategy.root_device)


def relax_finite_checks(trainer: Trainer, prefix: str, tags: Collection[str] | None = None) -> list[EarlyStopping]:
    """Lets ``EarlyStopping`` go on where the value of the lens that it monitors is NaN, because there is none.

    A NaN is never an improvement, and counts for its patience.

    Args:
        trainer: The Trainer.
        prefix: First part of the lens's tags.
        tags: The scalars that have no value; None for all.

    Returns:
        The callbacks that were changed, for `restore_finite_checks`.
    """
    changed = []
    for callback in early_stoppings(trainer, prefix):
        if callback.check_finite and (tags is None or callback.monitor in tags):
            callback.check_finite = False
            changed.append(callback)
    return changed


def restore_finite_checks(changed: list[EarlyStopping]) -> None:
    """Undoes `relax_finite_checks` and empties the list."""
    for callback in changed:
        callback.check_finite = True
    changed.clear()


def early_stoppings(trainer: Trainer, prefix: str) -> list[EarlyStopping]:
    """The ``EarlyStopping`` callbacks that monitor a scalar of the lens."""
    monitoring = _monitoring_callbacks(trainer, prefix)
    return [callback for callback, _ in monitoring if isinstance(callback, EarlyStopping)]


def tell_observation(trainer: Trainer, pl_module: LightningModule, prefix: str) -> None:
    """Calls ``on_observation`` of callbacks that have it, while the module has the weights that were observed.

    Args:
        trainer: The Trainer; all of its ranks call this together.
        pl_module: The module.
        prefix: First part of the lens's tags.
    """
    for callback in early_stoppings(trainer, prefix):
        on_observation = getattr(callback, "on_observation", None)
        if on_observation is not None:
            on_observation(trainer, pl_module)


def _monitoring_callbacks(trainer: Trainer, prefix: str) -> Iterator[tuple[Any, str]]:
    """The callbacks that monitor a scalar of the lens, with its tag."""
    groups = tag_groups(trainer, prefix)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and "/" in monitor and monitor.split("/")[0] in groups:
            yield callback, monitor


def tag_groups(trainer: Trainer, prefix: str) -> set[str]:
    """The groups of a lens's monitored tags, by which other callbacks' ``monitor`` is recognised as one of them.

    Args:
        trainer: The Trainer.
        prefix: First part of the lens's tags.

    Returns:
        The prefix itself, and the groups such as ``factorlens_spectra`` that the lens's measurements declare, without
        those that are the prefix of another lens.
    """
    groups = set()
    other_prefixes = set()
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        tags = getattr(callback, "monitored_tags", None)
        if tags is not None and callback.prefix == prefix:
            groups |= {tag.split("/")[0] for tag in tags}
        elif tags is not None:
            other_prefixes.add(callback.prefix)
    return (groups - other_prefixes) | {prefix}


def foreign_scalars(trainer: Trainer, prefix: str) -> list[Scalar]:
    """Scalars that other callbacks of this prefix log, as they declare them in their attribute ``scalars``."""
    found = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        declared = getattr(callback, "scalars", ())
        if getattr(callback, "prefix", None) == prefix and isinstance(declared, (tuple, list)):
            found += [scalar for scalar in declared if isinstance(scalar, Scalar)]
    return found


def stop_advice(trainer: Trainer, prefix: str) -> StopAdvice | None:
    """What the first stopping rule of this prefix has decided; None where there is no rule."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        advice = getattr(callback, "stop_advice", None)
        if isinstance(advice, StopAdvice) and getattr(callback, "prefix", None) == prefix:
            return advice
    return None


def hyperparameters(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Hyperparameters of the module and the datamodule; if there are none, the name of the module's class."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    found = {**pl_module.hparams, **getattr(datamodule, "hparams", {})}
    return found or {"model": type(pl_module).__name__}
