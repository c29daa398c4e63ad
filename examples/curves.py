"""Draws the curves of a finished run from its TensorBoard files, for a page or a paper.

python examples/curves.py runs/digits/version_0 curves.png
"""

from __future__ import annotations

import argparse
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ORANGE = "#d55e00"
BLUE = "#0072b2"

#: Steps and values of a scalar.
Curve = tuple[list[int], list[float]]


def read_curves(run: str) -> dict[str, Curve]:
    """Every scalar of a run, by tag."""
    events = EventAccumulator(run, size_guidance={"scalars": 0}).Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        curves[tag] = ([point.step for point in points], [point.value for point in points])
    return curves


def draw(axes: Axes, curves: dict[str, Curve], tag: str, **style: Any) -> None:
    """Draws a scalar if the run has it: by default loggers get a summary, with ``detail="all"`` everything."""
    if tag in curves:
        axes.plot(*curves[tag], marker=".", ms=4, **style)  # a line alone would hide the epochs without a value


def draw_errors(axes: Axes, curves: dict[str, Curve]) -> None:
    """The relative error at every logged rank."""
    ranks = sorted(int(tag.rpartition("_")[2]) for tag in curves if tag.startswith("factorlens/rel_error/"))
    viridis = colormaps["viridis"]
    for i, r in enumerate(ranks):
        colour = viridis(i / max(1, len(ranks)))
        draw(axes, curves, f"factorlens/rel_error/rank_{r}", color=colour, label=f"rank {r}")
        draw(axes, curves, f"factorlens_svd/total/rel_error/rank_{r}", color=colour, ls=":", lw=1)
    axes.set(title="Relative error of the factorisation (dotted: the SVD's lower bound)", ylabel="‖X − X̂‖ / ‖X‖")


def draw_alpha(axes: Axes, curves: dict[str, Curve]) -> None:
    """The mean exponent, and that of every layer where it is logged."""
    for tag in curves:
        if tag.startswith("factorlens_spectra/") and tag.endswith("/alpha"):
            draw(axes, curves, tag, lw=1, label=tag.split("/")[1])
    draw(axes, curves, "factorlens_spectra/mean_alpha", color="black", lw=2, label="mean")
    axes.set(title="Power-law exponent of the weights' spectra", ylabel="α")


def main() -> None:
    """Draws four panels over steps: error by rank, required and effective rank, α, and consistency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("image")
    args = parser.parse_args()
    curves = read_curves(args.run)

    figure = Figure(figsize=(12.5, 6.2), layout="constrained", facecolor="white")
    error, rank, alpha, stop = figure.subplots(2, 2).flat
    draw_errors(error, curves)
    draw(rank, curves, "factorlens/effective_rank", color=BLUE, label="effective rank")
    draw(rank, curves, "factorlens/rank_at_30pct", color=ORANGE, label="rank@30%")
    rank.set(title="How finely the network distinguishes inputs", ylabel="rank")
    draw_alpha(alpha, curves)
    draw(stop, curves, "factorlens/consistency", color=ORANGE, label="consistency (no labels)")
    for tag in curves:
        if tag.startswith("test_loss"):
            draw(stop, curves, tag, color=BLUE, label="test loss (needs labels)")
    stop.set(title="Consistency under small shifts, beside the test loss", ylabel="nats")
    for axes in figure.axes:
        axes.set_xlabel("step")
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.image, dpi=110)


if __name__ == "__main__":
    main()
