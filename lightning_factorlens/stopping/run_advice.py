"""Which epoch of a run is the best by the lens: the answer that summaries, tables, figures and reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.results.leading_scalar import CONSISTENCY, LeadingScalar, is_untrained
from lightning_factorlens.results.observation import Observation
from lightning_factorlens.stopping.defaults import annealing_rule, default_monitor, default_rule
from lightning_factorlens.stopping.replay import epoch_infos, replay
from lightning_factorlens.stopping.rule import Rule

#: Name of the signal that the default rule reads, without the prefix of its tag.
SIGNAL = default_monitor().partition("/")[2]
#: The signals on which the default rule was tested; the first one that a record holds is read.
SIGNALS = (SIGNAL, default_monitor("loss").partition("/")[2])
#: How texts call the default rule.
DEFAULT_SOURCE = "default rule"
#: The value of a signal by epoch, by the signal's name.
Series = Mapping[str, Mapping[int, float]]


def run_advice(history: Sequence[Observation], advice: StopAdvice | None = None) -> StopAdvice | None:
    """What a stopping rule says about a run: the run's own one, else the default rule; see `default_advice`.

    Args:
        history: The observations of one run, oldest first.
        advice: What the run's `LabelFreeStopping` has decided; None without one.

    Returns:
        The advice, which has a best epoch; None before the first value of a signal after training has begun.
    """
    return advice if has_decided(advice) else default_advice(history)


def has_decided(advice: StopAdvice | None) -> bool:
    """Whether there is a rule, and it has chosen an epoch.

    Args:
        advice: What it has decided.
    """
    return advice is not None and advice.best_epoch is not None


def default_advice(history: Sequence[Observation]) -> StopAdvice | None:
    """What the default rule of `LabelFreeStopping` would have decided about a run of a constant learning rate.

    The history holds no learning rates, which the rule waits for where they are annealed. The rule reads
    ``accuracy_signal``, and where the history holds none of it, ``loss_signal``. Where it holds neither, as those of
    version 0.1, the rule of that version is applied to the consistency. Nor does the history hold the planned number of
    epochs, without which there is no probability that the best epoch lies behind.

    Args:
        history: The observations of one run, oldest first. Of several in an epoch the last counts, as for the callback.

    Returns:
        The advice; None before the first value of a signal after training has begun.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> values = [2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.9] + [1.2] * 12
        >>> history = []
        >>> for epoch, value in enumerate(values, start=1):
        ...     history.append(Observation(epoch, 10 * epoch, {"consistency": Scalars({"consistency": value})}))
        >>> advice = default_advice(history)
        >>> advice.criterion, advice.best_epoch, advice.stop_epoch
        ('default rule on consistency', 7, 17)
    """
    series: dict[str, dict[int, float]] = {}
    for observation in history:
        add_signals(series, observation)
    return advice_of_series(series)


def add_signals(series: dict[str, dict[int, float]], observation: Observation) -> None:
    """Adds the signals of one observation to the series of its run.

    Args:
        series: The series, which are changed.
        observation: The observation. One before training, and a value that is not finite, count for nothing.
    """
    for name in (*SIGNALS, CONSISTENCY.quantity):
        value = LeadingScalar(name).value_of(observation)
        if value is not None:
            series.setdefault(name, {})[observation.epoch] = value


def advice_of_series(series: Series) -> StopAdvice | None:
    """What the default rule says about recorded signals.

    Args:
        series: From `add_signals`.

    Returns:
        See `default_advice`.
    """
    for name in SIGNALS:
        if name in series:
            return _advice(name, series[name], default_rule())
    if CONSISTENCY.quantity in series:
        return _advice(CONSISTENCY.quantity, series[CONSISTENCY.quantity], annealing_rule())
    return None


def _advice(signal: str, value_of: Mapping[int, float], rule: Rule) -> StopAdvice:
    decisions = replay(rule, list(value_of.values()), epoch_infos(len(value_of), epochs=list(value_of)))
    for epoch, decision in zip(value_of, decisions):
        if decision.stop:
            return StopAdvice(DEFAULT_SOURCE, decision.best_epoch, epoch, signal=signal, is_default=True)
    last = decisions[-1]
    return StopAdvice(DEFAULT_SOURCE, last.best_epoch, None, signal=signal, is_default=True)


def observation_of(history: Sequence[Observation], advice: StopAdvice | None) -> Observation | None:
    """The last observation of the best epoch.

    Args:
        history: The observations of one run, oldest first.
        advice: What a stopping rule says about it.

    Returns:
        The observation; None without advice, and where the history holds none of that epoch.
    """
    if advice is None:
        return None
    for observation in reversed(history):
        if observation.epoch == advice.best_epoch and not is_untrained(observation):
            return observation
    return None
