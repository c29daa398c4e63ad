"""Whether a claim held, did not hold, or depends on a definition, computed from the results and these thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.papers.curves import DEFINITIONS
from benchmarks.papers.epochs_controls import NETS, SIGNALS
from benchmarks.papers.networks import CONTROLS

#: Smallest mean correlation of levels at which a signal follows the test loss.
LEVELS = 0.5
#: Significance level of the sign test.
CHANCE = 0.05
ORDER_HOLDS = (
    "An order holds where the interval of τ lies above 0 and the groups' means rise in the paper's order; it is "
    "reversed where the interval lies below 0."
)
QUALITY_HOLDS = (
    "Rank distinguishes good from bad networks where the interval of τ with the accuracy lies above 0, without and "
    "with the two controls, and neither control lies above the most accurate group."
)
EPOCHS_HOLD = (
    f"An error follows the test loss where its mean correlation is at least {LEVELS:g} either way, in one direction on "
    "clean and on wrong labels, the intervals of the correlation of changes lie on that side of 0, and it is stronger "
    "than both controls' (interval of the difference above 0)."
)
SORTED_HOLDS = (
    "Sorting lowers a rank where the interval of the paired difference lies below 0 and a sign test has p below "
    f"{CHANCE:g}."
)


def combined(holds: Mapping[str, bool], depends_on: str) -> str:
    """The conclusion over several definitions, with the names of those for which the claim holds."""
    yes = [name for name, held in holds.items() if held]
    no = [name for name, held in holds.items() if not held]
    if not no:
        return "**held** under every definition of the error"
    if not yes:
        return "**did not hold** under any definition of the error"
    return f"**depends on {depends_on}**: holds for {_listed(yes)}; not for {_listed(no)}"


def ordered(found: Mapping[str, Any]) -> str:
    """Whether the groups are in the paper's order under one definition: ``"yes"``, ``"reversed"`` or ``"no"``."""
    side = found["order"].side
    if side < 0:
        return "reversed"
    return "yes" if side > 0 and found["rising"] else "no"


def tells_quality(found: Mapping[str, Any]) -> bool:
    """Whether the areas follow the accuracy when the controls are included."""
    follows = found["accuracy"].side > 0 and found["with_controls"].side > 0
    best = found["values"][found["best"]]
    return follows and all(found["values"][control] <= best for control in CONTROLS)


def groups(summary: Mapping[str, Any]) -> tuple[str, str]:
    """The conclusions on the order of the groups, and on rank as a measure of quality."""
    order = combined({name: ordered(summary[name]) == "yes" for name in DEFINITIONS}, "the error")
    reverse = [name for name in DEFINITIONS if ordered(summary[name]) == "reversed"]
    turned = f"; reversed for {_listed(reverse)}" if reverse else ""
    return order + turned, combined({name: tells_quality(summary[name]) for name in DEFINITIONS}, "the error")


def epochs(records: Mapping[str, Any], controls: Mapping[str, Any], signal: str) -> str:
    """The conclusion on the claim that a signal follows the test loss."""
    failed = falls_short(records, controls, signal)
    means = {labels: records[labels][signal]["levels"].value for labels in ("clean", "noisy")}
    levels = ", ".join(f"{mean:+.2f} on {labels}" for labels, mean in means.items() if not math.isnan(mean))
    numbers = f"(mean correlation of levels {levels} labels)"
    return f"**did not hold** {numbers}: {'; '.join(failed)}" if failed else f"**held** {numbers}"


def falls_short(records: Mapping[str, Any], controls: Mapping[str, Any], signal: str) -> list[str]:
    """The conditions that a signal does not meet; empty if it follows the test loss."""
    clean = records["clean"][signal]
    noisy = records["noisy"][signal]
    levels = [c["levels"].value for c in (clean, noisy)]
    failed = []
    if not levels[0] * levels[1] > 0:
        failed.append("the direction depends on the labels")
    if not all(abs(level) >= LEVELS for level in levels):
        failed.append("the levels are weakly correlated")
    if any(not c["changes"].side * c["levels"].value > 0 for c in (clean, noisy)):
        failed.append("the changes do not move together")
    if signal in SIGNALS:
        for net in NETS[1:]:
            short = [labels for labels, found in controls.items() if found[signal][net]["margin"].side <= 0]
            if short:
                failed.append(f"the control “{net}” does as well ({_listed(short)} labels)")
    return failed


def lowered(found: Mapping[str, Any]) -> bool:
    """Whether sorting lowers one quantity."""
    return bool(found["difference"].side < 0 and found["p"] < CHANCE)


def raised(found: Mapping[str, Any]) -> bool:
    """Whether sorting raises one quantity."""
    return bool(found["difference"].side > 0 and found["p"] < CHANCE)


def sorted_loader(summary: Mapping[str, Any]) -> str:
    """The conclusion on the claim that sorted batches lead to a lower rank."""
    conclusion = combined({name: lowered(summary[name]) for name in DEFINITIONS}, "the error")
    other = [name for name in DEFINITIONS if raised(summary[name])]
    return conclusion + (f"; higher for {_listed(other)}" if other else "")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
