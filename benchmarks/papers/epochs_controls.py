"""Two networks that learn nothing, for every trained one: if their curves are similar, curves do not reflect learning.

- **untrained**: other initial weights; at every epoch every parameter is scaled to the norm of the trained network's
  parameter. It shares only the size of the weights with the trained network.
- **random walk**: the trained network's own initial weights; at every epoch every parameter moves as far as that of the
  trained network, in a random direction. It shares only the length of the steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.papers.curves import area
from benchmarks.papers.epochs import CORRELATIONS, RANKS, correlations
from benchmarks.papers.settings import CONTROL_RATE, Settings
from benchmarks.papers.statistics import mean, seed_weights, spearman
from benchmarks.stopping.epoch_measurements import lens_numbers, loss_and_accuracy, outputs
from benchmarks.stopping.networks import Classifier, build
from benchmarks.stopping.tasks import TASKS
from benchmarks.stopping.training_run import Run
from lightning_factorlens import FactorLens

#: Runs that overfit, one on clean labels and one on labels of which 40 % are wrong.
RUNS = {"clean": "mnist-cnn8-500", "noisy": "mnist-cnn8-2000-noise40"}
#: No record has a seed from here on.
FIRST_SEED = 1000
SIGNALS = ("RMSE", "relative error", "mean α")
NETS = ("trained", "untrained", "random walk")


def scaled_like(model: nn.Module, other: nn.Module) -> None:
    """Scales every parameter of ``model`` to the norm of that of ``other``; a parameter that is 0 stays 0."""
    with torch.no_grad():
        for parameter, target in zip(model.parameters(), other.parameters()):
            parameter.mul_(target.norm() / parameter.norm().clamp_min(1e-12))


def walk(model: nn.Module, steps: Sequence[Tensor], generator: torch.Generator) -> None:
    """Moves every parameter in a random direction, by the norm of its entry of ``steps``."""
    with torch.no_grad():
        for parameter, step in zip(model.parameters(), steps):
            direction = torch.randn(parameter.shape, generator=generator)
            parameter.add_(direction * (step.norm() / direction.norm()))


def measure(folder: Path, settings: Settings) -> list[dict[str, Any]]:
    """One entry per task and seed: the test loss of the trained network, and the series of all three networks."""
    seeds = range(FIRST_SEED, FIRST_SEED + settings.control_seeds)
    return [run(folder, labels, seed, settings.control_epochs) for labels in RUNS for seed in seeds]


def run(folder: Path, labels: str, seed: int, epochs: int) -> dict[str, Any]:
    """Trains a network, and changes the two others after every epoch."""
    trained = Run(replace(TASKS[RUNS[labels]], epochs=epochs, rate=CONTROL_RATE), seed, folder)
    other = build(trained.task.net, tuple(trained.parts.train_x.shape[1:]), 0.0, seed + 1)  # type: ignore[arg-type]
    nets: dict[str, Classifier] = dict(zip(NETS, (trained.model, other, copy.deepcopy(trained.model))))
    lenses = {name: FactorLens(net, trained.lens.options, trained.lens.measurements) for name, net in nets.items()}
    generator = torch.Generator().manual_seed(seed)
    losses, series = [], {name: {signal: [] for signal in SIGNALS} for name in NETS}  # type: ignore[var-annotated]
    for _ in range(epochs):
        before = [p.detach().clone() for p in trained.model.parameters()]
        trained.train_epoch()
        scaled_like(other, trained.model)
        walk(nets["random walk"], [p - b for p, b in zip(trained.model.parameters(), before)], generator)
        losses.append(loss_and_accuracy(outputs(trained.model, trained.parts.test_x)[0], trained.parts.test_y)[0])
        for name, lens in lenses.items():
            for signal, value in signals(lens, trained.parts.probe).items():
                series[name][signal].append(value)
    return {"labels": labels, "seed": seed, "test_loss": losses, "series": series}


def signals(lens: FactorLens, probe: Tensor) -> dict[str, float]:
    """The signals of one observation, as in the records."""
    numbers = lens_numbers(lens.observe(probe))
    errors = (area(RANKS, numbers[f"{kind}/total"]) for kind in ("rmse", "rel_error"))
    return dict(zip(SIGNALS, (*errors, numbers["mean_alpha"])))


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By labels, signal and network: correlations with the test loss and the series of the *trained* network.

    Returns:
        Beside `epochs.CORRELATIONS`, ``with_trained`` (Spearman with the trained network's series) and ``margin``:
        how much stronger the trained network's correlation of levels is than the control's, in its own direction; a
        control whose series does not vary counts as uncorrelated.
    """
    return {
        labels: {signal: _compared([r for r in runs if r["labels"] == labels], signal) for signal in SIGNALS}
        for labels in RUNS
    }


def _compared(runs: Sequence[Mapping[str, Any]], signal: str) -> dict[str, Any]:
    weights, found, levels = seed_weights([r["seed"] for r in runs]), {}, {}
    for name in NETS:
        each = [correlations(r["series"][name][signal], r["test_loss"]) for r in runs]
        levels[name] = [0.0 if math.isnan(c["levels"]) else c["levels"] for c in each]
        alike = [spearman(r["series"][name][signal], r["series"]["trained"][signal]) for r in runs]
        found[name] = {kind: mean([c[kind] for c in each], weights) for kind in CORRELATIONS}
        found[name]["with_trained"] = mean(alike, weights)
        sign = 1.0 if found["trained"]["levels"].value >= 0 else -1.0
        margin = [sign * (a - b) for a, b in zip(levels["trained"], levels[name])]
        found[name]["margin"] = mean(margin, weights)
    return found
