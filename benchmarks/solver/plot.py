"""The plot of the solver: seconds by solver, growth of cost, jitter of the curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def draw(payload: dict[str, Any], path: Path) -> None:
    """Draws three panels and writes them to ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 5.5), width_ratios=(1.4, 1, 1))
    _solvers(left, payload)
    for key, color in (("m", "C0"), ("N", "C1"), ("ranks", "C2")):
        curve = payload["sweep"][key]
        label = {"m": "features (N = 512)", "N": "samples (m = 20,000)", "ranks": "number of ranks up to 32"}[key]
        middle.loglog([int(k) for k in curve], list(curve.values()), "o-", color=color, label=label)
    middle.set(xlabel="size", ylabel="processor seconds, cold", title="How cost grows")
    middle.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=8)
    if "jitter" in payload:
        for key, marker in (("jitter", "o-"), ("drift", "^:"), ("bias", "s--")):
            values = payload["jitter"][key]
            right.plot([int(r) for r in values], [100 * v for v in values.values()], marker, label=key)
        right.axhline(0.15, color="grey", linewidth=1, label="goal for jitter and drift")
        right.set_xscale("log", base=2)
        right.set(xlabel="rank", ylabel="% of the rmse", title="Warm rmse over the best known")
        right.legend()
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _solvers(axes: Any, payload: dict[str, Any]) -> None:
    """Bars for the first problem, points for the others; hollow bars did not reach the target."""
    names = list(payload["cold"])
    rows = dict(payload["cold"][names[0]]["solvers"])
    if names[0] in payload["warm"]:
        rows["ours, warm"] = payload["warm"][names[0]]
    seconds = {n: r["cpu"] if r["hits"] else r["given_up_after"] for n, r in rows.items() if not r["error"]}
    order = sorted((n for n in seconds if math.isfinite(seconds[n])), key=lambda n: -seconds[n])
    for i, name in enumerate(order):
        hit = rows[name]["hits"] > 0
        color = "C3" if name.startswith("ours") else "C7"
        axes.barh(i, seconds[name], color=color if hit else "none", edgecolor=color, hatch="" if hit else "//")
    for problem, marker in zip(names[1:], "ox"):
        others = payload["cold"][problem]["solvers"] | {"ours, warm": payload["warm"].get(problem, {"hits": 0})}
        points = [(others[n]["cpu"], i) for i, n in enumerate(order) if others.get(n, {"hits": 0})["hits"]]
        axes.plot(*zip(*points), marker, color="black", markersize=4, linestyle="none", label=problem)
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_xscale("log")
    axes.set(xlabel="processor seconds, one thread", title=f"All six ranks within 1 %: {names[0]} (bars)")
    if len(names) > 1:
        axes.legend(loc="lower left")
