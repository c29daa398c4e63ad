"""What is scored: the default, the baselines that the protocol names, and the parts that rules are made of."""

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
    default_rule,
)

#: More looks than any record has: a rule that never stops and keeps the best of all.
NEVER = 10_000
#: Shifts of the lens's size along both diagonals; the lens takes the first two, in turn from image to image.
DIAGONALS = ("+{px}+{px}", "-{px}-{px}", "+{px}-{px}", "-{px}+{px}")
MEMORY = TemporalEnsemble().momentum
#: The default's smoothing.
HALF = Smoothing(weight=0.5)


def shifts(kind: str, directions: tuple[str, ...] = DIAGONALS) -> tuple[str, ...]:
    """Names of the signals of a kind (``hard``, ``soft``, ``steady0.8``, …) under shifts of the lens's size."""
    return tuple(f"probe/{kind}/shift/{d}" for d in directions)


def balanced(*names: str) -> Signal:
    """Signals and the imbalance of the mean prediction."""
    return Signal((*names, "probe/imbalance"), "sum")


#: What the lens logs as ``factorlens/consistency``.
DEFAULT = balanced(f"probe/steady{MEMORY:g}/in_turn/{{px}}")


def careful(rule: Rule, warmup: int = 5, share: float = 0.1, smoothing: Smoothing = HALF) -> Rule:
    """A rule on the smoothed signal that knows of warm-up and schedule, as the default does."""
    return Smoothed(
        AfterWarmup(AfterAnnealing(rule, while_waiting=GeneralizationLoss(share)), epochs=warmup), smoothing
    )


def blind(rule: Rule) -> Rule:
    """The same for whoever does not know the schedule."""
    return Smoothed(AfterWarmup(rule, epochs=5), HALF)


def default() -> Candidate:
    """The product's."""
    return Candidate("**default**", "probe", default_rule(), DEFAULT)


def relatives() -> list[Candidate]:
    """Rules of ours that stood in `FINDINGS.md` before anybody looked at a confirmation figure."""
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


def baselines() -> list[Candidate]:
    """As `PROTOCOL.md` lists them, but for the best fixed epoch, which depends on the records."""
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
    """Those that the default is to beat by half."""
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
