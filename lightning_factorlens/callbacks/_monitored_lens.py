"""The FactorLensCallback whose measurements LabelFreeStopping monitors."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens.callbacks._monitors import tag_groups
from lightning_factorlens.callbacks.factorlens_callback import FactorLensCallback
from lightning_factorlens.stopping import Rule


def find_lens_callback(trainer: Trainer, monitor: str) -> FactorLensCallback:
    """The FactorLensCallback that logs the monitored tag, or others of its group.

    Args:
        trainer: The Trainer.
        monitor: The monitored tag.

    Raises:
        MisconfigurationException: There is none.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    lens_callbacks = [callback for callback in callbacks if isinstance(callback, FactorLensCallback)]
    prefix = monitor.split("/")[0]
    for lens_callback in lens_callbacks:
        if prefix in tag_groups(trainer, lens_callback.prefix):
            return lens_callback
    found = ", ".join(repr(lens_callback.prefix) for lens_callback in lens_callbacks) or "none"
    raise MisconfigurationException(
        f"LabelFreeStopping(monitor={monitor!r}) needs a FactorLensCallback with prefix {prefix!r} in "
        f"the same Trainer; found prefixes: {found}. Add FactorLensCallback(prefix={prefix!r}), or change "
        "`monitor`."
    )


def check_metrics(lens_callback: FactorLensCallback, monitor: str, rule: Rule) -> bool:
    """Checks that all metrics of a rule exist; some may wait for the first training step.

    Args:
        lens_callback: From `find_lens_callback`.
        monitor: The monitored tag.
        rule: The rule.

    Returns:
        Whether the check is final.

    Raises:
        MisconfigurationException: The FactorLensCallback does not log one of the metrics.
    """
    available = {*lens_callback.monitored_tags, *lens_callback.pending_metrics}
    missing = [tag for tag in (monitor, *rule.metrics) if tag not in available]
    if missing:
        known = ", ".join(sorted(available))
        reasons = lens_callback.missing_reasons
        because = ""
        for tag in missing:
            if tag in reasons:
                because += f"the observation has {reasons[tag]} "
        raise MisconfigurationException(
            f"LabelFreeStopping: {because}FactorLens logs no {', '.join(map(repr, missing))}; there are: {known}. "
            "Change `monitor` or the rule."
        )
    return not lens_callback.pending_metrics
