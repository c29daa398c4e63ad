"""Checks of the arguments of LabelFreeStopping."""

from __future__ import annotations

import math
import re
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens._validation import check_choice
from lightning_factorlens.stopping import DEFAULT_MONITOR, Rule

MODES = ("advise", "stop", "lr")
#: Callbacks that give the module averaged weights when the training ends; not all versions of Lightning have the first.
AVERAGING_CALLBACKS = ("WeightAveraging", "StochasticWeightAveraging")


def check_rule(monitor: Any, rule: Any) -> None:
    """Checks the monitored tag and the rule.

    Args:
        monitor: The argument ``monitor``.
        rule: The argument ``rule``.

    Raises:
        ValueError: No tag, or no rule.
    """
    if not isinstance(monitor, str) or not all(monitor.partition("/")):
        raise ValueError(f"monitor: must be a tag such as {DEFAULT_MONITOR!r}, found {monitor!r}.")
    if rule is not None and not isinstance(rule, Rule):
        raise ValueError(f"rule: must be a rule such as Patience() or None for the default, found {rule!r}.")


def check_action(mode: Any, factor: Any, min_lr: Any) -> None:
    """Checks what the callback does when the rule decides to stop.

    Args:
        mode: The argument ``mode``.
        factor: The argument ``factor``.
        min_lr: The argument ``min_lr``.

    Raises:
        ValueError: An argument is invalid.
    """
    check_choice("mode", mode, MODES)
    if not isinstance(factor, float) or not 0 < factor < 1:
        raise ValueError(f"factor: must be a number between 0 and 1, found {factor!r}.")
    if isinstance(min_lr, bool) or not isinstance(min_lr, (int, float)) or not 0 <= min_lr < math.inf:
        raise ValueError(f"min_lr: must be a number ≥ 0, found {min_lr!r}.")


def check_tag_name(tag_name: Any) -> None:
    """Checks the part of the logged tags that the user chooses.

    Args:
        tag_name: The argument ``tag_name``.

    Raises:
        ValueError: It has characters that a tag cannot have.
    """
    if not isinstance(tag_name, str) or not re.fullmatch(r"[-\w.]+", tag_name, flags=re.ASCII):
        raise ValueError(f"tag_name: may have letters, digits and '-', '.', '_' only, found {tag_name!r}.")


def check_restore_best(value: Any) -> None:
    """Checks which weights the module is to have when ``fit`` ends.

    Args:
        value: The argument ``restore_best``.

    Raises:
        ValueError: It is invalid.
    """
    if not isinstance(value, bool) and value != "average":
        raise ValueError(f"restore_best: must be True, False or 'average', found {value!r}.")


def warn_of_untested_signal(monitor: str, mode: str, restore_best: bool | str) -> None:
    """Warns where the training is to be changed by a signal that has failed in the benchmark.

    Args:
        monitor: The monitored tag.
        mode: The argument of that name.
        restore_best: The argument of that name.
    """
    is_acting = mode != "advise" or bool(restore_best)
    if is_acting and monitor.endswith("/perturbation_consistency"):
        rank_zero_warn(
            f"LabelFreeStopping(monitor={monitor!r}): this signal has not been shown to follow the test loss. In the "
            "project's study, stops on signals of this kind lost 15 to 50 points of accuracy where the output is "
            "several labels or classes of pixels, and up to 22 on tables. Stop by held-out labels if there are any, or "
            "pass mode='advise' and restore_best=False."
        )


def check_no_averaging(trainer: Trainer, restore_best: bool | str) -> None:
    """Checks that no other callback decides which weights the module has when ``fit`` ends.

    Args:
        trainer: The Trainer.
        restore_best: The argument of that name.

    Raises:
        MisconfigurationException: One does.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if any(base.__name__ in AVERAGING_CALLBACKS for base in type(callback).__mro__):
            name = type(callback).__name__
            raise MisconfigurationException(
                f"LabelFreeStopping(restore_best={restore_best!r}) and {name} both give the module other weights when "
                f"`fit` ends: the average would be replaced. Remove {name}, or pass restore_best=False."
            )
