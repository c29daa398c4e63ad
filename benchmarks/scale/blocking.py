"""What the training thread waits for: spectra and figures are computed on a thread beside it."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from lightning.pytorch import Callback, Trainer
from torch import nn

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale.demo import PROBE_SIZE, fit_demo
from benchmarks.spectra.comparison import silence
from lightning_factorlens import FactorLens, FactorLensCallback, TensorBoardOptions
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.measurements import WeightSpectra

REPETITIONS = 5
EPOCHS = 42


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the hand-over of a ResNet-18's spectra, and epochs of the demo with and without figures."""
    best = spectra_seconds(2 if quick else REPETITIONS)
    epochs = 14 if quick else EPOCHS
    added = {}
    for name, background in (("on the training thread", False), ("on a thread beside it", True)):
        added[name] = seconds_added_by_figures(epochs, background)
    with_lens = demo_seconds(epochs, [FactorLensCallback(probe_size=PROBE_SIZE, verbose=False)])
    without_lens = demo_seconds(epochs, [])
    share = 1 - without_lens / with_lens
    lines = [[name, f"{1e3 * value:.1f}"] for name, value in best.items()]
    lines += [[f"demo, added by the figures of an observation, {name}", f"{1e3 * s:.1f}"] for name, s in added.items()]
    section = (
        "## Blocking\n\n`python -m benchmarks.scale --parts blocking`. Milliseconds of the training thread: its "
        "processor time and what it waits for other threads, not what it waits for the processor (Linux). ResNet-18 "
        "(10 classes): shortest of some calls in turn; `analyze()` is measured as processor time. Demo "
        "(`examples/digits.py`), written to TensorBoard: every observation is full, every fourth one has figures. "
        "Processor time in the lens's hooks and all waiting, of two epochs around these minus the next two, median in "
        f"{epochs} epochs.\n\n"
        + markdown_table(["what", "ms"], lines)
        + f"\n\nAll processor time of the demo's first {epochs} epochs at the defaults, of all threads, with the lens "
        f"{with_lens:.1f} s, without it {without_lens:.1f} s: {share:.1%} are the lens's."
    )
    figures = [
        Figure("blocked_by_spectra_of_weightwatcher", best["spectra, handed over"] / best["weightwatcher"], 0.02, True),
        Figure("blocked_by_figures_seconds", added["on a thread beside it"], 0.1, at_most=True),
        Figure("demo_share_of_the_lens", share, 0.25, at_most=True),
    ]
    return Measured(section, {"seconds": best, "added": added, "with": with_lens, "without": without_lens}, figures)


def spectra_seconds(repetitions: int) -> dict[str, float]:
    """Shortest seconds of the calling thread for the spectra of a ResNet-18 whose weights have all changed."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10).eval()
    images = torch.rand(4, 3, 32, 32)
    lens = FactorLens(model, measurements=[WeightSpectra()])
    worker = BackgroundWorker()
    with silence():
        import weightwatcher

        watcher = weightwatcher.WeightWatcher(model=model)
    seconds: dict[str, list[float]] = {"weightwatcher": [], "spectra, waited for": [], "spectra, handed over": []}
    for _ in range(repetitions):
        change(model)
        with silence():
            seconds["weightwatcher"].append(timed(watcher.analyze)[0])
        seconds["spectra, waited for"].append(timed(lambda: lens.observe(images))[0])
        change(model)
        start = sum(thread_seconds())
        pending, _ = lens.begin(images, worker=worker)
        seconds["spectra, handed over"].append(sum(thread_seconds()) - start)
        pending.complete()
    worker.close()
    return {name: min(values) for name, values in seconds.items()}


@torch.no_grad()
def change(model: nn.Module) -> None:
    """Changes every weight, as a training step does."""
    for parameter in model.parameters():
        parameter.mul_(1.001)


def thread_seconds() -> tuple[float, float]:
    """Seconds of this thread: those of the processor, and those of waiting for other threads and for files.

    What it waits for the processor, because other programs run, is neither.
    """
    wall = time.perf_counter()
    text = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
    used, queued = (float(number) / 1e9 for number in text.split()[:2])
    return used, wall - used - queued


class Before(Callback):
    """Notes the processor seconds of the training thread before the lens's hooks, and the seconds between epochs."""

    def __init__(self) -> None:
        self.entered = 0.0
        self.in_hooks = 0.0
        self.epochs: list[tuple[float, float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """An epoch, with the observation at its end, lasts until the next one begins."""
        self.epochs.append((self.in_hooks, thread_seconds()[1]))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        """Reads the clock."""
        self.entered = thread_seconds()[0]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Reads the clock."""
        self.entered = thread_seconds()[0]


class After(Callback):
    """Adds up the processor seconds of the training thread within the lens's hooks."""

    def __init__(self, before: Before) -> None:
        self.before = before

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        """Reads the clock."""
        self.before.in_hooks += thread_seconds()[0] - self.before.entered

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Reads the clock."""
        self.before.in_hooks += thread_seconds()[0] - self.before.entered


def seconds_added_by_figures(epochs: int, background: bool) -> float:
    """The median over the demo's observations with figures of what they add to the epochs before and after them."""
    before = Before()
    lens = FactorLensCallback(
        probe_size=PROBE_SIZE,
        max_overhead=None,
        tensorboard=TensorBoardOptions(figures_every_n=4),
        background=background,
        verbose=False,
    )
    fit_demo(epochs, [before, lens, After(before)])
    seconds = []
    for earlier, later in zip(before.epochs, before.epochs[1:]):
        seconds.append(sum(later) - sum(earlier))
    # The figures of every fourth observation are drawn after one epoch, or during the next one.
    added = []
    for first in range(2, len(seconds) - 3, 4):
        with_figures = seconds[first] + seconds[first + 1]
        added.append(with_figures - seconds[first + 2] - seconds[first + 3])
    return statistics.median(added)


def demo_seconds(epochs: int, callbacks: list[Callback]) -> float:
    """Processor seconds of all threads for some epochs of the demo."""
    return timed(lambda: fit_demo(epochs, callbacks))[0]
