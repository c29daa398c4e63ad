"""The candidates that are scored: the default, its variants, and the baselines that the protocol names."""

from __future__ import annotations

from benchmarks.stopping.replay import Candidate, Signal
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble
from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    GeneralizationLoss,
    Maximize,
    Patience,
    Rule,
    Smoothed,
    Smoothing,
    annealing_rule,
)

#: More epochs than any record has: a rule with this patience never stops and keeps the best epoch.
NEVER = 10_000
#: Shifts of the lens's size along both diagonals; the lens uses the first two, alternating from image to image.
DIAGONALS = ("+{px}+{px}", "-{px}-{px}", "+{px}-{px}", "-{px}+{px}")
MEMORY = TemporalEnsemble().momentum
#: The default's smoothing.
HALF = Smoothing(weight=0.5)


def shifts(kind: str, directions: tuple[str, ...] = DIAGONALS) -> tuple[str, ...]:
    """Names of the signals of a kind (``hard``, ``soft``, ``steady0.8``, …) under shifts of the lens's size."""
    return tuple(f"probe/{kind}/shift/{d}" for d in directions)


def balanced(*names: str) -> Signal:
    """The sum of signals and the imbalance of the mean prediction."""
    return Signal((*names, "probe/imbalance"), "sum")


#: The signal that the lens logs as ``factorlens/consistency``.
DEFAULT = balanced(f"probe/steady{MEMORY:g}/in_turn/{{px}}")


def careful(rule: Rule, warmup: int = 5, share: float = 0.1, smoothing: Smoothing = HALF) -> Rule:
    """A rule on the smoothed signal that takes warm-up and schedule into account, as the default does.

    Args:
        rule: The rule.
        warmup: Number of epochs that are ignored.
        share: Rise above the lowest value, as a fraction, that is tolerated while the rate is still to fall.
        smoothing: Smoothing of the signal.
    """
    return Smoothed(
        AfterWarmup(AfterAnnealing(rule, while_waiting=GeneralizationLoss(share)), epochs=warmup), smoothing
    )


def blind(rule: Rule) -> Rule:
    """A rule on the smoothed signal with a warm-up, but without knowledge of the schedule."""
    return Smoothed(AfterWarmup(rule, epochs=5), HALF)


def default() -> Candidate:
    """The default rule and signal of version 0.1, with which this campaign ended."""
    return Candidate("**default**", "probe", annealing_rule(), DEFAULT)


def relatives() -> list[Candidate]:
    """Variants of the default that were in `FINDINGS.md` before any confirmation figure was known."""
    two = DIAGONALS[:2]
    return [
        Candidate(
            "ours, blind to the schedule",
            "probe",
            blind(Patience(10)),
            DEFAULT,
            ours=True,
        ),
        Candidate(
            "ours, as frozen on 13 records",
            "probe",
            careful(Patience(10), share=0.2),
            Signal(shifts(f"steady{MEMORY:g}", two)),
            ours=True,
        ),
        Candidate(
            "ours, own choice (first study's signal)",
            "probe",
            careful(Patience(10), share=0.2),
            Signal(shifts("hard", two)),
            ours=True,
        ),
    ]


def stock() -> Candidate:
    """Lightning's ``EarlyStopping("factorlens/consistency", patience=10)``, which the README recommended until 2026.

    It was scored after the confirmation, and nothing was chosen by its figures.
    """
    return Candidate("`EarlyStopping` on the default's signal, patience 10", "probe", Patience(10), DEFAULT, ours=True)


def baselines() -> list[Candidate]:
    """The baselines of `PROTOCOL.md` except the best fixed epoch, which depends on the records."""
    validation = [
        Candidate(
            f"{kind} validation split, patience {patience}",
            "validation labels",
            Patience(patience),
            Signal((f"validation/{kind}_loss",)),
        )
        for kind in ("clean", "noisy")
        for patience in (5, 10)
    ]
    supervised = [
        Candidate(
            "gradient disparity, patience 5", "training labels", Patience(5), Signal(("labels/gradient_disparity",))
        ),
        Candidate(
            "gradient–weight alignment, argmax",
            "training labels",
            Maximize(Patience(NEVER)),
            Signal(("labels/alignment",)),
        ),
        Candidate(
            "gradient–weight alignment, patience 5",
            "training labels",
            Maximize(Patience(5)),
            Signal(("labels/alignment",)),
        ),
    ]
    return [*validation, *supervised, *label_free_baselines()]


def label_free_baselines() -> list[Candidate]:
    """The baselines that need no labels; the goal is half their regret."""
    wave = Signal(("images/label_wave",), over=3)
    rank = Signal(("probe/rankme_features",))
    return [
        Candidate("last epoch", "nothing", "last"),
        Candidate("random epoch", "nothing", "random"),
        Candidate("effective rank (RankMe), argmax", "probe", Maximize(Patience(NEVER)), rank),
        Candidate("Label Wave: first minimum", "training images", Patience(1), wave),
        Candidate("Label Wave, patience 5", "training images", Patience(5), wave),
        Candidate("prediction changes, patience 5", "probe", Patience(5), Signal(("probe/changes",))),
        Candidate("entropy, patience 5", "probe", Patience(5), Signal(("probe/entropy",))),
        Candidate("mean α, patience 5", "weights", Patience(5), Signal(("weights/mean_alpha",))),
        Candidate("α̂, patience 5", "weights", Patience(5), Signal(("weights/alpha_hat",))),
        Candidate("smallest α, patience 5", "weights", Patience(5), Signal(("weights/alpha_min",))),
    ]
