"""Figures 2(a) and 2(b) in the section of the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.papers import groups
from benchmarks.papers.curves import DEFINITIONS
from benchmarks.papers.networks import CONTROLS
from benchmarks.reporting import markdown_table


def groups_section(nets: Sequence[Mapping[str, Any]], title: str, what: str) -> str:
    """The part on one set of groups.

    Args:
        nets: The networks.
        title: Title of the part.
        what: What the groups differ in, ``"classes"`` or ``"images"``.
    """
    summary = groups.summary(nets)
    names = list(dict.fromkeys(n["group"] for n in nets))
    members = {g: [n for n in nets if n["group"] == g] for g in names}
    first = markdown_table(
        ("trained on", "test accuracy", *DEFINITIONS, "rank@30%", "RankMe"),
        [(g, f"{_mean(n['accuracy'] for n in m):.1%}", *(_spread([n["area"][d] for n in m]) for d in DEFINITIONS),
          _rank_at(m, "0.3"), _spread([n["effective_rank"] for n in m], 1)) for g, m in members.items()],
    )  # fmt: skip
    second = markdown_table(
        ("", f"τ with the number of {what}", "pairs in the paper's order", "order found, lowest first",
         "τ with accuracy", "… with controls", "controls above the best group"),
        [(name, str(f["order"]), f"{(1 + f['order'].value) / 2:.0%}", " < ".join(_short(g) for g in f["means"]),
          str(f["accuracy"]), str(f["with_controls"]), _above(f)) for name, f in summary.items()],
    )  # fmt: skip
    figure = f"![Error against rank by {what}, with both controls](../../docs/papers/{what}.png)"
    return "\n\n".join([
        f"### {title}",
        figure,
        f"Areas and ranks: mean ± standard deviation over {len(members[names[0]])} seeds. The control “random labels” "
        f"has memorized 600 random labels "
        f"({_mean(n['train_accuracy'] for n in members['random labels']):.0%} right on them).",
        first,
        f"τ is Kendall's over all pairs of networks whose {what} (or accuracies) differ: 1 if all are in the claimed "
        "order, −1 if none is. The last column names the controls that lie above the most accurate group's mean.",
        second,
    ])  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _spread(values: Sequence[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _rank_at(nets: Sequence[Mapping[str, Any]], tau: str) -> str:
    """The median of rank@τ, marked as a lower bound if most of the ranks are."""
    ranks, capped = zip(*(n["rank_at"][tau] for n in nets))
    return f"{'≥ ' if sum(capped) * 2 > len(capped) else ''}{np.median(ranks):.0f}"


def _short(group: str) -> str:
    return group.partition(" ")[0]


def _above(found: Mapping[str, Any]) -> str:
    best = found["values"][found["best"]]
    return ", ".join(c for c in CONTROLS if found["values"][c] > best) or "–"
