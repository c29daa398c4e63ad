"""The rule that LabelFreeStopping applies: the user's or the default one, with the probability where it is known."""

from __future__ import annotations

from lightning_factorlens.stopping import BestEpochBehind, Rule, default_monitor, default_rule


def stopping_rule(monitor: str, rule: Rule | None, min_probability: float | None, target: str) -> Rule:
    """Builds the rule from the arguments of `LabelFreeStopping`.

    Args:
        monitor: The monitored tag.
        rule: The user's rule; None for the default.
        min_probability: The threshold of the probability; None to have the rule decide.
        target: What "best" means, ``"loss"`` or ``"accuracy"``.

    Returns:
        A rule of the user's own without a threshold stays as it is. Otherwise its decisions have a probability, unless
        the monitored metric is one for which none is known.

    Raises:
        ValueError: A threshold for a metric without a probability, or a target that nothing would read.

    Example:
        >>> from lightning_factorlens.stopping import Patience
        >>> stopping_rule("factorlens/loss_signal", Patience(5), None, "loss")
        Patience(patience=5, min_delta=0.0, smoothing=Smoothing(window=1, weight=1.0))
    """
    calibrated = default_monitor(target)
    is_calibrated = monitor.partition("/")[2] == calibrated.partition("/")[2]  # whatever the lens's prefix
    if min_probability is not None and not is_calibrated:
        raise ValueError(
            f"min_probability: with target={target!r} the probability is calibrated for {calibrated!r} alone, found "
            f"monitor={monitor!r}; leave monitor out, or min_probability."
        )
    if rule is not None and min_probability is None:
        if target != "loss":
            raise ValueError(
                f"target: found {target!r} together with a rule, which would not read it; leave target out, or leave "
                "rule out to have the default rule of that target."
            )
        return rule
    chosen = default_rule(target) if rule is None else rule
    return BestEpochBehind(chosen, min_probability, target) if is_calibrated else chosen
