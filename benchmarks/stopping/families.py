"""The families of rules that were tried, including those that failed.

All families of signals use the same rules, a patience of 5, 8 and 10 epochs on the smoothed signal with knowledge of
the schedule, like the default, so that only the signal differs.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.stopping.candidates import DEFAULT, DIAGONALS, HALF, balanced, blind, careful, shifts
from benchmarks.stopping.replay import Candidate, Signal
from benchmarks.stopping.transforms import SHIFTS, shift_name
from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    AllOf,
    GeneralizationLoss,
    MannKendall,
    Maximize,
    OnMetric,
    Patience,
    Plateau,
    Rule,
    Smoothed,
    Smoothing,
)
from lightning_factorlens.stopping.smoothing import DEFAULT_SMOOTHING as FIRST_STUDY
from lightning_factorlens.stopping.smoothing import NO_SMOOTHING

PATIENCES = (5, 8, 10)
TWO, FOUR, ALL = DIAGONALS[:2], DIAGONALS, tuple(shift_name(*s) for s in SHIFTS)
SINGLE = ("flip", "turn/5", "scale/1.1", "noise/0.1", "noise/0.3", "noise/0.6",
          "dropout/0.1", "dropout/0.3", "weight_noise/0.05", "weight_noise/0.2", "edge/+2+2")  # fmt: skip


def judged(signals: dict[str, Signal], needs: str = "probe", highest: bool = False) -> list[Candidate]:
    """Candidates with the rules that all families share, one for each signal and patience."""
    wrap = Maximize if highest else (lambda rule: rule)
    return [
        Candidate(f"{name}, patience {p}", needs, wrap(careful(Patience(p))), signal)
        for name, signal in signals.items()
        for p in PATIENCES
    ]


def one_each(names: Iterable[str]) -> dict[str, Signal]:
    """One signal for each series."""
    return {name: Signal((name,)) for name in names}


def ways(rules: dict[str, Rule]) -> list[Candidate]:
    """Candidates with different rules on the default's signal."""
    return [Candidate(name, "probe", rule, DEFAULT) for name, rule in rules.items()]


def families() -> dict[str, list[Candidate]]:
    """All families by name; the first is that of the first study."""
    return {**transform_families(), **other_signal_families(), **rule_families()}


def transform_families() -> dict[str, list[Candidate]]:
    """Families that use outputs for a transformed probe."""
    ladder = {kind: Signal(shifts(kind, ALL)) for kind in ("hard", "steady0.8")}
    return {
        "own choice under two diagonal shifts (first study)": judged({"hard, two": Signal(shifts("hard", TWO))}),
        "own choice, four shifts": judged({"hard, four": Signal(shifts("hard", FOUR))}),
        "steady labels (memory 0.5 to 0.9), a shift for every image in turn": judged(
            {f"steady {m}, in turn": Signal((f"probe/steady{m}/in_turn/{{px}}",)) for m in (0.5, 0.7, 0.8, 0.9)}
        ),
        "the same and the balance of the answers (the default's signal)": judged(
            {f"steady {m}, in turn, balance": balanced(f"probe/steady{m}/in_turn/{{px}}") for m in (0.5, 0.7, 0.8, 0.9)}
        ),
        "own choice, in turn, and the balance of the answers": judged({"own": balanced("probe/hard/in_turn/{px}")}),
        "own choice, a shift for every image in turn": judged(one_each(("probe/hard/in_turn/{px}",))),
        "steady labels (memory 0.5 to 0.9), two shifts": judged(
            {f"steady {m}, two": Signal(shifts(f"steady{m}", TWO)) for m in (0.5, 0.7, 0.8, 0.9)}
        ),
        "steady labels, four shifts": judged(
            {f"steady {m}, four": Signal(shifts(f"steady{m}", FOUR)) for m in (0.5, 0.7, 0.8, 0.9)}
        ),
        "steady labels, two shifts of 1, 2 or 3 pixels whatever the image": judged(
            {f"{n} pixels": Signal(tuple(f"probe/steady0.8/shift/{s}{n}{s}{n}" for s in "+-")) for n in (1, 2, 3)}
        ),
        "steady labels, dropout in place of shifts": judged(
            one_each(f"probe/steady{m}/dropout/0.3" for m in (0.8, 0.9))
        ),
        "ladder of 16 shifts, mean": judged({f"{kind}, mean": s for kind, s in ladder.items()}),
        "ladder of 16 shifts, consensus of standardised series": judged(
            {f"{kind}, consensus": Signal(s.names, "consensus") for kind, s in ladder.items()}
        ),
        "other reductions over shifts (soft, KL, share that disagree)": judged(
            {f"{kind}, four": Signal(shifts(kind, FOUR)) for kind in ("soft", "kl", "disagree")}
        ),
        "mean prediction over shifts (spread, own, hard mean)": judged(
            one_each(f"probe/{kind}/shifts{{px}}" for kind in ("spread", "own", "hard_mean"))
        ),
        "other transforms (flip, turn, scale, noise, dropout, weight noise, border)": judged(
            one_each(f"probe/hard/{rung}" for rung in SINGLE)
        ),
        "mix-up": judged(one_each(("probe/mix/hard", "probe/mix/soft"))),
    }


def other_signal_families() -> dict[str, list[Candidate]]:
    """Families that use averages, factors, spectra of predictions, weights, training images or labels."""
    return {
        "agreement with an average of the weights": judged(one_each(("probe/hard/average", "probe/soft/average"))),
        "consistency of the factors and features": judged(
            one_each((*(f"factors/{k}/{r}" for k in ("moved", "clusters_moved") for r in (8, 16)), "probe/cka_moved"))
        ),
        "held-out fold-in error and its gap": judged(
            one_each(
                (
                    *(f"factors/fold_gap/{r}" for r in (8, 16)),
                    *(f"factors/fold_error/{r}/fresh/held_out" for r in (8, 16)),
                )
            )
        ),
        "nuclear norm, mutual information, confidence": judged(
            one_each(f"probe/{k}" for k in ("nuclear_norm", "mutual_information", "confidence")), highest=True
        ),
        "changes from epoch to epoch (predictions, factors)": judged(
            one_each(("probe/changes", "probe/drift", "factors/moved/8", "images/changes"))
        ),
        "weights alone (step, norm, α)": judged(
            one_each(f"weights/{k}" for k in ("step", "norm", "mean_alpha", "alpha_hat")), "weights"
        ),
        "own choice on training images": judged(
            {"images": Signal(tuple(f"images/hard/shift/{d}" for d in TWO))}, "training images"
        ),
        "consistency turned AND changes turned": [
            Candidate(
                f"both, patience {p}",
                "probe",
                careful(AllOf([Patience(p), OnMetric(Patience(q), "probe/changes")])),
                DEFAULT,
            )
            for p in PATIENCES
            for q in (2, 5)
        ],
        "calibration: training labels under shifts (needs labels)": judged(
            {"labels": Signal(tuple(f"labels/subset_loss/shift/{d}" for d in TWO))}, "training labels"
        ),
    }


def rule_families() -> dict[str, list[Candidate]]:
    """Families of rules on the default's signal."""
    return {
        "rule: turning point": ways(
            {f"turning point {c}": careful(MannKendall(c, NO_SMOOTHING)) for c in (0.5, 0.8, 0.95)}
        ),
        "rule: levelling off": ways({f"levelling off {s}": careful(Plateau(10, s)) for s in (0.0, 0.01, 0.03)}),
        "rule: newest within a share of the lowest": ways(
            {f"risen {s}": careful(GeneralizationLoss(s, 10)) for s in (0.01, 0.02, 0.05)}
        ),
        "rule: patience, blind to the schedule": ways({f"patience {p}": blind(Patience(p)) for p in PATIENCES}),
        "rule: patience, nothing before the rate has fallen": ways(
            {f"patience {p}": Smoothed(AfterWarmup(AfterAnnealing(Patience(p)), epochs=5), HALF) for p in PATIENCES}
        ),
        "rule: the share of a rise that counts while the rate is to fall": ways(
            {f"share {s}": careful(Patience(10), share=s) for s in (0.05, 0.1, 0.15, 0.2, 0.25, 0.5)}
        ),
        "rule: length of the warm-up": ways({f"warm-up {w}": careful(Patience(10), warmup=w) for w in (0, 3, 5, 8)}),
        "rule: smoothing": ways(
            {
                name: careful(Patience(10), smoothing=smoothing)
                for name, smoothing in {
                    "none": NO_SMOOTHING,
                    "median of 3": Smoothing(window=3),
                    "median of 3, weight ½": FIRST_STUDY,
                    "weight 0.3": Smoothing(weight=0.3),
                    "weight ½": HALF,
                }.items()
            }
        ),
    }
