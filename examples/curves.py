"""Draws the curves of a finished run from its TensorBoard files, for a page or a paper.

python examples/curves.py runs/digits/version_0 curves.png
"""

from __future__ import annotations

import argparse

from matplotlib import colormaps
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ORANGE = "#d55e00"
BLUE = "#0072b2"


def main() -> None:
    """Draws four panels over epochs: error by rank, required and effective rank, α, and consistency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("image")
    args = parser.parse_args()
    events = EventAccumulator(args.run, size_guidance={"scalars": 0}).Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        curves[tag] = [event.value for event in events.Scalars(tag)]

    figure = Figure(figsize=(12.5, 6.2), layout="constrained", facecolor="white")
    error, rank, alpha, stop = figure.subplots(2, 2).flat
    ranks = sorted(int(tag.rpartition("_")[2]) for tag in curves if tag.startswith("factorlens/rel_error/"))
    for r, colour in zip(ranks, colormaps["viridis"].resampled(len(ranks) + 1).colors):
        error.plot(curves[f"factorlens/rel_error/rank_{r}"], color=colour, label=f"rank {r}")
        error.plot(curves[f"factorlens_svd/total/rel_error/rank_{r}"], color=colour, ls=":", lw=1)
    error.set(title="Relative error of the factorisation (dotted: the SVD's floor)", ylabel="‖X − X̂‖ / ‖X‖")
    rank.plot(curves["factorlens/effective_rank"], color=BLUE, label="effective rank")
    rank.plot(curves["factorlens/rank_at_30pct"], color=ORANGE, label="rank@30%")
    rank.set(title="How finely the network distinguishes inputs", ylabel="rank")
    for tag, values in curves.items():
        if tag.startswith("factorlens_spectra/") and tag.endswith("/alpha"):
            alpha.plot(values, lw=1, label=tag.split("/")[1])
    alpha.plot(curves["factorlens_spectra/mean_alpha"], color="black", lw=2, label="mean")
    alpha.set(title="Power-law exponent of the weights' spectra", ylabel="α")
    stop.plot(curves["factorlens/consistency"], color=ORANGE, label="consistency (no labels)")
    for tag, values in curves.items():
        if tag.startswith("test_loss"):
            stop.plot(values, color=BLUE, label="test loss (needs labels)")
    stop.set(title="Consistency under small shifts, beside the test loss", ylabel="nats")
    for axes in figure.axes:
        axes.set_xlabel("epoch")
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(args.image, dpi=110)


if __name__ == "__main__":
    main()
