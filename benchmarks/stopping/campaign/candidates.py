"""The frozen rules of the second campaign, their clock controls, the ideas that were not chosen, and the baselines."""

from __future__ import annotations

from benchmarks.stopping.campaign.rules import (
    JitterForgiveness,
    blind,
    scheduled,
    unsmoothed,
    weighted,
)
from benchmarks.stopping.replay import Candidate, Signal
from lightning_factorlens.stopping import AfterWarmup, Patience, Rule, Smoothed, Smoothing, annealing_rule

DEFAULT = "**default**, loss"
ACCURACY = "**default**, accuracy"
OLD = "default of 0.1"
#: The controls, each of the form of the rule that it controls.
GAP_CONTROL = "control: a clock in place of the gap"
ACCURACY_CONTROL = "control: accuracy, a clock in place of the disagreement"
DIVERGENCE_CONTROL = "control: consistency + 1 / epoch"


def ours(name: str, terms: dict[str, float], rule: Rule | None = None) -> Candidate:
    """A rule on a weighted sum of series."""
    return Candidate(name, "probe", scheduled() if rule is None else rule, weighted(terms), ours=True)


def chosen() -> list[Candidate]:
    """The frozen rules: the first is the default."""
    return [
        Candidate(DEFAULT, "probe", scheduled(), Signal(("loss_signal",))),
        Candidate(ACCURACY, "probe", scheduled(), Signal(("accuracy_signal",)), ours=True),
    ]


def controls() -> list[Candidate]:
    """Clock controls, the strongest of their form on the development runs."""
    base = {"agreement_loss": 1.0, "imbalance": 3.0, "begun": 1.0}
    return [
        ours(GAP_CONTROL, {**base, "epoch": 0.008, "clock": 1.0}),
        ours("control: without the gap", base),
        ours("control: without the gap, accuracy", {**base, "disagreement": 0.5}),
        ours(ACCURACY_CONTROL, {**base, "memorization_gap": 1.0, "clock": 0.5}),
        ours(DIVERGENCE_CONTROL, {"consistency": 1.0, "clock": 1.0}),
    ]


def ideas() -> list[Candidate]:
    """What was tried besides, with the settings that were best on the development runs."""
    gap = {"consistency": 1.0, "imbalance": 1.0, "memorization_gap": 1.0, "begun": 1.0}
    return [
        Candidate(OLD, "probe", annealing_rule(), Signal(("consistency",)), ours=True),
        ours("consistency, blind to the schedule", {"consistency": 1.0}, blind()),
        ours("consistency, plateaus waited for", {"consistency": 1.0}),
        ours("consistency + 2 divergence, blind", {"consistency": 1.0, "divergence": 2.0}, blind()),
        ours("consistency + 2 divergence", {"consistency": 1.0, "divergence": 2.0}),
        ours("consistency + imbalance", {"consistency": 1.0, "imbalance": 1.0, "begun": 1.0}),
        ours("consistency + imbalance + gap", gap),
        ours("consistency + imbalance + gap + 1 / epoch", {**gap, "clock": 1.0}),
        ours(
            "loss of disagreeing counted twice, divergence", {"consistency": 1.0, "disagreeing": 1.0, "divergence": 1.0}
        ),
        ours("four perturbations", {"consistency/four": 1.0}),
        Candidate("present labels for both epochs", "probe", unsmoothed(), Signal(("chained",)), ours=True),
        ours(
            "forgives half the jitter",
            {"consistency": 1.0},
            Smoothed(AfterWarmup(JitterForgiveness(0.5), epochs=5), Smoothing(weight=0.5)),
        ),
    ]


def baselines() -> list[Candidate]:
    """Validation splits, and training to the end."""
    found = []
    for kind in ("clean", "noisy"):
        for patience in (5, 10):
            name = f"{kind} validation split, patience {patience}"
            signal = Signal((f"validation/{kind}_loss",))
            found.append(Candidate(name, "validation labels", Patience(patience), signal))
    for patience in (5, 10):
        name = f"clean validation accuracy, patience {patience}"
        signal = weighted({"validation/clean_accuracy": -1.0})
        found.append(Candidate(name, "validation labels", Patience(patience), signal))
    return [*found, Candidate("last epoch", "nothing", "last")]


def candidates() -> list[Candidate]:
    """All rows of the tables."""
    return [*chosen(), *controls(), *ideas(), *baselines()]
