"""What the history of a run says in words: is it still learning, is it memorising, when was the moment to stop.

The dashboard, the summary at the end of a run and TensorBoard's text all show these sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens.results.leading_scalar import (
    CONSISTENCY,
    RISE,
    WARMUP_EPOCHS,
    WINDOW,
    LeadingScalar,
    LeadingSeries,
    position,
)
from lightning_factorlens.results.observation import Observation

LEARNING = "Still learning?"
MEMORISING = "Memorising?"
#: Verdict where the history does not suffice.
UNKNOWN = "cannot tell"
#: Verdicts after a new low of late, after none, and after none with a lasting rise.
STILL_LEARNING = "yes"
LEVELLED_OFF = "levelled off"
NOT_LEARNING = "no"
#: Verdict after a lasting rise. It precedes a rising test loss, with wrong labels as with right ones.
RISEN = "likely, or over-confident"
#: Verdict where there is no such rise.
NO_SIGN = "no sign"


@dataclass(frozen=True)
class StopAdvice:
    """What a stopping rule has decided in a run.

    Attributes:
        source: Name of the callback that applies the rule.
        best_epoch: The epoch whose weights the rule would keep; None before its first decision.
        stop_epoch: The epoch after which it first decided to stop; None where it never did.
        probability: The latest estimated probability that the best epoch lies behind; None where there is none.
        signal: Name of the metric that the rule reads, without the prefix of its tag; empty where it is not known.
        is_default: Whether the rule is known to be the default one of its signal, which was tried on recorded runs.
    """

    source: str
    best_epoch: int | None
    stop_epoch: int | None
    probability: float | None = None
    signal: str = ""
    is_default: bool = False

    @property
    def criterion(self) -> str:
        """What has chosen the best epoch, such as ``default rule on accuracy_signal``."""
        return f"{self.source} on {self.signal}" if self.signal else self.source


@dataclass(frozen=True)
class Finding:
    """The answer to one question about a run, in plain ASCII.

    Attributes:
        question: The question.
        verdict: The answer in one to three words; `UNKNOWN` where the history does not suffice.
        reason: Why, with numbers.
    """

    question: str
    verdict: str
    reason: str

    def __str__(self) -> str:
        return f"{self.question} {self.verdict}: {self.reason}."


@dataclass(frozen=True)
class Findings:
    """The answers to three questions about a run.

    Attributes:
        learning: Whether the leading scalar still improves.
        memorising: Whether it has risen lastingly, which is a sign of memorisation.
        stop: Which epoch would have been the one to keep.
    """

    learning: Finding
    memorising: Finding
    stop: Finding

    @property
    def all(self) -> tuple[Finding, ...]:
        """The three findings, in this order."""
        return (self.learning, self.memorising, self.stop)


def run_findings(
    history: Sequence[Observation], scalar: LeadingScalar = CONSISTENCY, advice: StopAdvice | None = None
) -> Findings:
    """Derives the findings from the observations of one run; observations without the scalar are passed over.

    The criterion for a lasting rise is that the last `WINDOW` observations all lie more than `RISE` above the lowest
    value after `WARMUP_EPOCHS`. Of the 72 runs that are recorded in ``benchmarks/stopping/records`` 49 have such a
    rise; in 47 of them the test loss rose by more than a tenth too, as it did in 4 of the 23 others. Of 120
    later runs, it was 62 of 71 and 10 of 49 (``python -m benchmarks.stopping.answers``).

    Args:
        history: The observations, oldest first, with or without tensors.
        scalar: What the run is judged by. Whether a network learns or memorises is read from `CONSISTENCY` alone.
        advice: The decision of a stopping rule, where there is one.

    Returns:
        The findings, with `UNKNOWN` and the reason where the history does not suffice.

    Example:
        >>> from lightning_factorlens.results import Scalars
        >>> values = [2.0, 1.5, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 1.0, 1.1, 1.2, 1.3, 1.3]
        >>> history = []
        >>> for epoch, value in enumerate(values, start=1):
        ...     record = Scalars({"consistency": value})
        ...     history.append(Observation(epoch, 10 * epoch - 1, records={"consistency": record}))
        >>> run_findings(history).memorising.verdict, run_findings(history).stop.verdict
        ('likely, or over-confident', 'epoch 8')
    """
    series = LeadingSeries.of(history, scalar)
    abstention = _abstention(series)
    if abstention:
        learning = Finding(LEARNING, UNKNOWN, abstention)
        memorising = Finding(MEMORISING, UNKNOWN, abstention)
    else:
        lowest = series.best_index(series.n_warmup)
        learning = _learning(series, lowest)
        memorising = _memorising(series, lowest)
    return Findings(learning, memorising, _stop(series, advice))


def _abstention(series: LeadingSeries) -> str:
    """Why neither learning nor memorising can be judged; empty where both can be."""
    if series.scalar.quantity != CONSISTENCY.quantity:
        return f"{series.scalar.name} has not been tested as a signal, consistency alone has"
    if not series.values:
        return series.reason_for_none
    n_counted = len(series.values) - series.n_warmup
    if n_counted <= WINDOW:
        return (
            f"the first {WARMUP_EPOCHS} epochs do not count and {WINDOW + 1} observations after them are needed, "
            f"so far {n_counted}"
        )
    return ""


def _learning(series: LeadingSeries, index: int) -> Finding:
    """Whether the network still learns; ``index`` is that of the lowest value."""
    lowest = f"{series.values[index]:.3g}"
    where = position(series.observations[index])
    if min(series.values) < series.values[index]:
        where += f", without the first {WARMUP_EPOCHS} epochs"
    if index >= len(series.values) - WINDOW:
        return Finding(LEARNING, STILL_LEARNING, f"consistency reached a new low of {lowest} at {where}")
    n_since = len(series.values) - 1 - index
    reason = f"no new low of consistency for {n_since} observations, since {lowest} at {where}"
    return Finding(LEARNING, NOT_LEARNING if series.n_risen(index) >= WINDOW else LEVELLED_OFF, reason)


def _memorising(series: LeadingSeries, index: int) -> Finding:
    """Whether the values have risen lastingly; ``index`` is that of the lowest value."""
    epoch = series.observations[index].epoch
    n = series.n_risen(index)
    if n < WINDOW:
        return Finding(
            MEMORISING,
            NO_SIGN,
            f"consistency has not stayed over {RISE:.0%} above its lowest for {WINDOW} observations",
        )
    lowest = series.values[index]
    rise = f", {series.values[-1] / lowest - 1:+.0%} since epoch {epoch}" if lowest > 0 else ""
    return Finding(
        MEMORISING,
        RISEN,
        f"consistency has stayed over {RISE:.0%} above its lowest for {n} observations{rise}",
    )


def _stop(series: LeadingSeries, advice: StopAdvice | None) -> Finding:
    question = "When to stop?"
    if advice is not None and advice.best_epoch is not None:
        return _advised_stop(question, series, advice)
    if not series.values:
        return Finding(question, UNKNOWN, series.reason_for_none)
    index = series.best_index(0)
    best = series.observations[index]
    name = series.scalar.name or series.scalar.quantity
    extreme = "lowest" if series.scalar.lower_is_better else "highest"
    is_long = len(series.values) > series.n_warmup
    if series.scalar.quantity == CONSISTENCY.quantity and best.epoch <= WARMUP_EPOCHS and is_long:
        reason = (
            f"{name} was lowest at epoch {best.epoch}, and in the first {WARMUP_EPOCHS} epochs a low one says little"
        )
        return Finding(question, UNKNOWN, reason)
    if index == len(series.values) - 1:
        return Finding(question, "not yet", f"{name} was still at its {extreme} at {position(best)}")
    reason = f"{name} was {extreme} then (step {best.step}), {series.epochs_before_end(best.epoch)}"
    return Finding(question, f"epoch {best.epoch}", reason)


def _advised_stop(question: str, series: LeadingSeries, advice: StopAdvice) -> Finding:
    """The finding of a run with a stopping rule."""
    assert advice.best_epoch is not None
    end = "" if series.last is None else f", {series.epochs_before_end(advice.best_epoch)}"
    best = f"{advice.criterion} found epoch {advice.best_epoch} the best{end}"
    certainty = ""
    if advice.probability is not None:
        certainty = f"; the best epoch lies behind with an estimated probability of {advice.probability:.0%}"
    if advice.stop_epoch is None:
        return Finding(question, "not yet", f"{best}, and has not decided to stop{certainty}")
    reason = f"{best}, and decided to stop after epoch {advice.stop_epoch}{certainty}"
    return Finding(question, f"epoch {advice.best_epoch}", reason)
