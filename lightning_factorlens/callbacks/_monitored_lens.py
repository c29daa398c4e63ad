"""The FactorLensCallback whose measurements LabelFreeStopping monitors."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens.callbacks.factorlens_callback import FactorLensCallback
from lightning_factorlens.stopping import Rule


def find_lens_callback(trainer: Trainer, monitor: str, prefix: str) -> FactorLensCallback:
    """The FactorLensCallback with the prefix of the monitored tag.

    Args:
        trainer: The Trainer.
        monitor: The monitored tag.
        prefix: Its first part.

    Raises:
        MisconfigurationException: There is none.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    lens_callbacks = [callback for callback in callbacks if isinstance(callback, FactorLensCallback)]
    for lens_callback in lens_callbacks:
        if lens_callback.prefix == prefix:
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
