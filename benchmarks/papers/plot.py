"""The figures of docs/papers: curves with bands, series of trained and control networks, sorted against shuffled."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.papers import epochs_controls
from benchmarks.papers.curves import DEFINITIONS
from benchmarks.papers.networks import CONTROLS
from benchmarks.papers.statistics import mean, seed_weights

CONTROL_STYLES = {"untrained": ("0.35", "--"), "random labels": ("tab:red", ":")}
NET_STYLES = {"trained": ("tab:blue", "-"), "untrained": ("0.35", "--"), "random walk": ("tab:orange", "-.")}


def draw(rows: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws one figure for each experiment that was measured.

    Args:
        rows: The results by experiment.
        folder: Folder of the figures.

    Returns:
        The paths of the figures.
    """
    import matplotlib

    matplotlib.use("Agg")
    plots: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "classes": ("classes", groups), "subsets": ("images", groups), "epochs": ("epochs", epochs),
        "sorted": ("sorted", sorted_loader),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row, (name, plot) in plots.items():
        if row in rows:
            written.append(save(plot(rows[row]["measured"]), folder / f"{name}.png"))
    return written


def save(figure: Any, path: Path, colors: int = 64) -> Path:
    """Saves a figure with few colours: images of a repository stay in its history, so they should be small."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90)
    Image.open(buffer).convert("RGB").quantize(colors).save(path, optimize=True)
    return path


def _panels(rows: int, columns: int) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * columns, 3.1 * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _band(axes: Any, nets: Sequence[Mapping[str, Any]], definition: str, **style: Any) -> None:
    """Draws the mean curve and its interval at every rank."""
    ranks, weights = nets[0]["ranks"], seed_weights([n["seed"] for n in nets])
    estimates = [mean(column, weights) for column in zip(*(n["curves"][definition] for n in nets))]
    axes.plot(ranks, [e.value for e in estimates], linewidth=1.6, **style)
    low, high = [e.low for e in estimates], [e.high for e in estimates]
    axes.fill_between(ranks, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, [str(r) for r in ranks])


def groups(nets: Sequence[Mapping[str, Any]]) -> Any:
    """Figure 2(a) or 2(b) under every definition of the error."""
    from matplotlib import colormaps

    figure, axes = _panels(1, len(DEFINITIONS))
    names = list(dict.fromkeys(n["group"] for n in nets))
    trained = [n for n in names if n not in CONTROLS]
    shades = colormaps["viridis"](np.linspace(0.85, 0.1, len(trained)))
    styles = {name: (shade, "-") for name, shade in zip(trained, shades)} | CONTROL_STYLES
    for panel, definition in zip(axes[0], DEFINITIONS):
        for name in names:
            color, line = styles[name]
            _band(panel, [n for n in nets if n["group"] == name], definition, color=color, linestyle=line, label=name)
        panel.set(title=definition, xlabel="rank")
    axes[0, 0].set_ylabel("error")
    axes[0, 0].legend(fontsize=8)
    return figure


def epochs(measured: Mapping[str, Any]) -> Any:
    """Series of the runs with controls, each standardized, and the correlation of levels of every record."""
    labels, signals = list(epochs_controls.RUNS), epochs_controls.SIGNALS
    figure, axes = _panels(len(labels), len(signals) + 1)
    for row, kind in zip(axes, labels):
        runs = [r for r in measured["controls"] if r["labels"] == kind]
        for panel, signal in zip(row, signals):
            _series(panel, [r["test_loss"] for r in runs], color="black", linestyle="-", label="test loss (trained)")
            for net, (color, line) in NET_STYLES.items():
                _series(panel, [r["series"][net][signal] for r in runs], color=color, linestyle=line, label=net)
            panel.set(title=f"{signal}, {kind} labels", xlabel="epoch")
        chosen = [r for r in measured["records"] if (r["noise"] > 0) == (kind == "noisy")]
        _dots(row[-1], {s: [r["correlations"][s]["levels"] for r in chosen] for s in signals})
        row[-1].set(title=f"{len(chosen)} records, {kind} labels", ylabel="Spearman with test loss")
        row[0].set_ylabel("standard units")
    axes[0, 0].legend(fontsize=7)
    return figure


def _series(axes: Any, runs: Sequence[Sequence[float | None]], **style: Any) -> None:
    """Draws the mean over runs of the standardized series, and the standard deviation over seeds."""
    varying = [run for run in np.array(runs, dtype=float) if len(set(run[np.isfinite(run)])) > 1]
    if not varying:
        return
    table = np.array([(run - np.nanmean(run)) / np.nanstd(run) for run in varying])
    center, spread, at = np.nanmean(table, 0), np.nanstd(table, 0), np.arange(1, table.shape[1] + 1)
    axes.plot(at, center, linewidth=1.5, **style)
    axes.fill_between(at, center - spread, center + spread, color=style["color"], alpha=0.12, linewidth=0)


def _dots(axes: Any, columns: Mapping[str, Sequence[float | None]]) -> None:
    """Draws one dot per record in each column."""
    jitter = np.random.default_rng(0)
    for k, values in enumerate(columns.values()):
        column = np.array(values, dtype=float)
        axes.plot(k + jitter.uniform(-0.15, 0.15, len(column)), column, "o", markersize=4, alpha=0.6)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_xticks(range(len(columns)), columns, fontsize=8)
    axes.set_ylim(-1.05, 1.05)


def sorted_loader(nets: Sequence[Mapping[str, Any]]) -> Any:
    """Curves after the last epoch under every definition, and the accuracy by epoch."""
    figure, axes = _panels(1, len(DEFINITIONS) + 1)
    for loader, color in (("sorted", "tab:red"), ("shuffled", "tab:blue")):
        members = [n for n in nets if n["loader"] == loader]
        for panel, definition in zip(axes[0], DEFINITIONS):
            _band(panel, members, definition, color=color, linestyle="-", label=loader)
            panel.set(title=definition, xlabel="rank")
        percent = 100 * np.array([n["accuracies"] for n in members]).T
        axes[0, -1].plot(range(1, len(percent) + 1), percent, "o-", color=color, alpha=0.5, markersize=3, linewidth=0.8)
    axes[0, 0].set_ylabel("error")
    axes[0, 0].legend(fontsize=8)
    axes[0, -1].set(title="test accuracy, %", xlabel="epoch", xticks=range(1, len(percent) + 1))
    return figure
