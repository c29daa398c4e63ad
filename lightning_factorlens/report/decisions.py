"""What the stopping rules of a run have decided, as its record holds it, and which weights the run has ended with."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_factorlens.report.parts import Text
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import HandedOver, Observation, StoppingDecision
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping import default_monitor
from lightning_factorlens.stopping.probability import PROBABILITY_WORDS
from lightning_factorlens.stopping.run_advice import run_advice

#: Name of the callback whose decisions are recorded.
CALLBACK = "LabelFreeStopping"
#: What a decision to stop has changed, by its action.
EFFECTS = {
    "stop": "and ended the training",
    "lr": "and lowered the learning rate, after which the rule began anew",
    "": "and changed nothing",
}


def advice_of(subject: Subject) -> StopAdvice | None:
    """What the run's own stopping rule has decided, or else what the default rule would have.

    Args:
        subject: A run or a checkpoint.

    Returns:
        The advice; None where no rule can say anything, as before the first observation after training has begun.
    """
    return run_advice(subject.history, own_advice(subject))


def own_advice(subject: Subject) -> StopAdvice | None:
    """What the run's own `LabelFreeStopping` has decided, by the record or by the checkpoint; None without one.

    Args:
        subject: A run or a checkpoint. Of several callbacks, the first one that has chosen an epoch counts.
    """
    for decisions in _by_tag(subject.history):
        advice = _advice(decisions)
        if advice.best_epoch is not None:
            return advice
    return subject.advice


def stopping_texts(subject: Subject) -> list[Text]:
    """Whether the answer to "When to stop?" is the run's own decision or a replay, and what the run has ended with.

    Args:
        subject: A run.
    """
    recorded = _by_tag(subject.history)
    if recorded:
        texts = [_text(decisions) for decisions in recorded]
        return [*texts, Text(f"{weights_in_words(subject)}.", "Weights at the end:")]
    if subject.advice is not None:
        text = f"This is what the run's own {CALLBACK} had decided when the checkpoint was written."
    elif advice_of(subject) is None:
        return []
    else:
        text = (
            f"The record holds no decision of a {CALLBACK}. This is a replay: what its default rule would have decided "
            "at a constant learning rate."
        )
    return [Text(text, "Stopping rule.")]


def weights_in_words(subject: Subject) -> str:
    """Which weights a run has ended with, in a few words.

    Args:
        subject: A run with recorded decisions.
    """
    if subject.history and subject.history[-1].handed_over:
        return _last_change(subject.history[-1].handed_over)
    return "not recorded, as in a training that was interrupted or still goes on"


def _last_change(found: Sequence[HandedOver]) -> str:
    """What the last callback that has changed the weights has done."""
    for handed_over in reversed(found):
        if handed_over.weights == "best":
            return f"those of epoch {handed_over.epoch}, the best one"
        if handed_over.weights == "average":
            return f"an average over epochs, up to epoch {handed_over.epoch}"
    return "those of the last epoch"


def _by_tag(history: Sequence[Observation]) -> list[list[StoppingDecision]]:
    """The decisions of each callback, oldest first, in the order of the callbacks."""
    found: dict[str, list[StoppingDecision]] = {}
    for observation in history:
        for decision in observation.decisions:
            found.setdefault(decision.tag, []).append(decision)
    return list(found.values())


def _advice(decisions: Sequence[StoppingDecision]) -> StopAdvice:
    """The decisions of one callback: the newest best epoch and probability, and the first decision to stop."""
    best_epoch = stop_epoch = probability = None
    for decision in decisions:
        if decision.best_epoch is not None:
            best_epoch = decision.best_epoch
        if decision.probability is not None:
            probability = decision.probability
        if decision.stop and stop_epoch is None:
            stop_epoch = decision.epoch
    last = decisions[-1]
    signal = _without_prefix(last.monitor)
    is_default = last.target is not None and signal == _without_prefix(default_monitor(last.target))
    return StopAdvice(CALLBACK, best_epoch, stop_epoch, probability, signal, is_default)


def _text(decisions: Sequence[StoppingDecision]) -> Text:
    """What one callback has done, in words."""
    last = decisions[-1]
    rule = "its default rule" if _advice(decisions).is_default else last.rule
    text = f"This is the run's own decision, from its record: {CALLBACK} on {last.monitor} with {rule}"
    stops = [decision for decision in decisions if decision.stop]
    if stops:
        decision = stops[0]
        effect = EFFECTS.get(decision.action, "")
        text += f" decided to stop after epoch {decision.epoch} {effect} (mode {decision.mode}): {_reason(decision)}."
    else:
        text += f" did not decide to stop (mode {last.mode}); after epoch {last.epoch}: {_reason(last)}."
    return Text(text, "Stopping rule.")


def _reason(decision: StoppingDecision) -> str:
    """The reason of a decision without its probability, which the answer to "When to stop?" states."""
    return decision.reason.partition(f"; {PROBABILITY_WORDS}")[0]


def _without_prefix(tag: str) -> str:
    return tag.partition("/")[2] or tag
