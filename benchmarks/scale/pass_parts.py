"""What the forward passes of an observation cost besides those of the probe, and what a validation pass saves."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.part import timed
from lightning_factorlens import FactorLens
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture import capture_activations, isolate_model
from lightning_factorlens.capture.capture_difference import largest_difference
from lightning_factorlens.capture.passing_rows import PassingRows
from lightning_factorlens.lens.pass_sizes import limit_passes
from lightning_factorlens.metrics.consistency import alternating_shift, default_shift

#: Columns of the table of parts.
PARTS = ("same size", "isolation", "hooks", "shift")


def pass_parts(model: nn.Module, images: torch.Tensor, repetitions: int) -> dict[str, float]:
    """Processor seconds and cleared pages of the parts of the two passes, medians.

    Args:
        model: The network in evaluation mode.
        images: The probe.
        repetitions: How often each part is measured, in turns with the others.

    Returns:
        Seconds of a pass in the loader's batches (``forward``); in forward passes: a pass in the lens's own sizes
        (``same size``), an isolation in which nothing happens, what the hooks add and what the shifting adds; pages
        that the system clears during both passes (``pages forward``, ``pages same size``).
    """
    lens = FactorLens(model, outputs="classes")
    probe = Probe.wrap(images)
    lens.select_layers(probe)
    limit_passes(lens._runner(), probe, lens.layer_table)
    shift = default_shift(images) or 1
    shifted = probe.map_inputs(lambda part: alternating_shift(part, shift))
    assert shifted is not None
    decision = lens.output_decision
    parts: dict[str, Callable[[], Any]] = {
        "forward": lambda: forward(model, images),
        "same size": lambda: capture_activations(model, model, probe, (), decision=decision),
        "isolation": lambda: _isolate(model),
        "hooks": lambda: capture_activations(model, model, probe, lens.layer_table, 4096, decision=decision),
        "shift": lambda: capture_activations(model, model, shifted, (), decision=decision),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    pages: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repetitions):
        for name, work in parts.items():
            before = _cleared_pages()
            with torch.no_grad():
                seconds[name].append(timed(work)[0])
            pages[name].append(_cleared_pages() - before)
    found = {name: median(values) for name, values in seconds.items()}
    whole = found["forward"]
    return {
        "forward": whole,
        "same size": found["same size"] / whole,
        "isolation": found["isolation"] / whole,
        "hooks": (found["hooks"] - found["same size"]) / whole,
        "shift": (found["shift"] - found["same size"]) / whole,
        "pages forward": median(pages["forward"]),
        "pages same size": median(pages["same size"]),
    }


def reused_pass(lens: FactorLens, model: nn.Module, images: torch.Tensor) -> dict[str, float]:
    """An observation whose first pass is a validation of the probe, made just before.

    Args:
        lens: A lens that has observed before.
        model: Its network, with changed weights.
        images: The probe.

    Returns:
        In forward passes: the observation, what reading added to the validation, and their sum; and the largest
        difference of an activation or class score from a pass of the lens's own, see `largest_difference`.
    """
    own = Probe.wrap(images)
    limit_passes(lens._runner(), own, lens.layer_table)
    decision = lens.output_decision
    with isolate_model(model):
        expected = capture_activations(model, model, own, lens.layer_table, 4096, decision=decision)
    spent: list[float] = []
    plain = timed(lambda: forward(model, images))[0]
    rows = PassingRows(model, images, lens.layer_table, 4096, 0, decision, timer=lambda: _Stopwatch(spent))
    rows.start()
    forward(model, images)
    rows.stop()
    plain = (plain + timed(lambda: forward(model, images))[0]) / 2
    problems: list[str] = []
    differences: list[float] = []

    def source(_: Any, __: Probe, layers: Any) -> Any:
        problems.append(rows.problem(decision))
        read = rows.capture(layers)
        differences.append(largest_difference(expected, read))
        return read

    lens.capture_source = source
    seconds, _ = timed(lambda: lens.observe(images))
    lens.capture_source = None
    assert problems == [""], problems
    reading = sum(spent) / plain
    observation = seconds / plain
    return {
        "reused observation": observation,
        "reading": reading,
        "reused total": observation + reading,
        "difference": max(differences),
    }


def forward(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """A pass of all images in batches of a loader."""
    with torch.no_grad():
        return [model(part.data) for part in Probe.wrap(images).batches()]


def _isolate(model: nn.Module) -> None:
    with isolate_model(model):
        pass


def _cleared_pages() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class _Stopwatch:
    """Appends the processor seconds inside the context."""

    def __init__(self, spent: list[float]) -> None:
        self._spent = spent
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._spent.append(time.process_time() - self._start)
