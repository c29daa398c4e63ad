"""The rule that LabelFreeStopping applies: the user's or the default one, with the probability where it is known."""

from __future__ import annotations

from lightning_factorlens.stopping import BestEpochBehind, Rule, default_monitor, default_rule


def target_of(monitor: str) -> str:
    """What the best epoch by a monitored metric is best in.

    Args:
        monitor: The monitored tag, whatever its prefix.

    Returns:
        The target of which it is the signal; ``"accuracy"``, the default, for any other metric.

    Example:
        >>> target_of("mine/loss_signal"), target_of("factorlens/consistency")
        ('loss', 'accuracy')
    """
    return "loss" if _is_signal_of("loss", monitor) else "accuracy"


def _is_signal_of(target: str, monitor: str) -> bool:
    return monitor.partition("/")[2] == default_monitor(target).partition("/")[2]


def stopping_rule(monitor: str, rule: Rule | None, min_probability: float | None, target: str | None) -> Rule:
    """Builds the rule from the arguments of `LabelFreeStopping`.

    Args:
        monitor: The monitored tag.
        rule: The user's rule; None for the default.
        min_probability: The threshold of the probability; None to have the rule decide.
        target: What "best" means, ``"accuracy"`` or ``"loss"``; None for that of the monitored metric.

    Returns:
        A rule of the user's own without a threshold stays as it is. Otherwise its decisions have a probability, unless
        the monitored metric is one for which none is known.

    Raises:
        ValueError: A threshold for a metric without a probability, or a target that nothing would read.

    Example:
        >>> from lightning_factorlens.stopping import Patience
        >>> stopping_rule("factorlens/loss_signal", Patience(5), None, None)
        Patience(patience=5, min_delta=0.0, smoothing=Smoothing(window=1, weight=1.0))
    """
    meant = target_of(monitor) if target is None else target
    calibrated = default_monitor(meant)
    is_calibrated = _is_signal_of(meant, monitor)
    if min_probability is not None and not is_calibrated:
        raise ValueError(
            f"min_probability: with target={meant!r} the probability is calibrated for {calibrated!r} alone, found "
            f"monitor={monitor!r}; leave monitor out, or min_probability."
        )
    if rule is not None and min_probability is None:
        if target is not None:
            raise ValueError(
                f"target: found {target!r} together with a rule, which would not read it; leave target out, or leave "
                "rule out to have the default rule of that target."
            )
        return rule
    chosen = default_rule(meant) if rule is None else rule
    return BestEpochBehind(chosen, min_probability, meant) if is_calibrated else chosen
