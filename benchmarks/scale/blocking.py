"""What the training thread waits for: spectra and figures are computed on a thread beside it."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torchvision
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from benchmarks.part import Measured, timed
from benchmarks.reporting import Figure, markdown_table
from benchmarks.spectra.comparison import silence
from lightning_factorlens import FactorLens, FactorLensCallback, TensorBoardOptions
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.measurements import WeightSpectra

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from digits import IMAGES, PASSES, PROBE_SIZE, digits, network
from shared import Classifier

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
        "## Blocking\n\n`python -m benchmarks.scale --parts blocking`. Milliseconds of the training thread: its processor "
        "time and what it waits for other threads, without what it waits for the processor. ResNet-18 (10 classes): "
        "shortest of some calls in turn. Demo (`examples/digits.py`): every observation is full, every fourth one has "
        f"figures; two epochs around it minus the next two, median in {epochs} epochs. Written to TensorBoard.\n\n"
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
        start = thread_seconds()
        pending, _ = lens.begin(images, worker=worker)
        seconds["spectra, handed over"].append(thread_seconds() - start)
        pending.complete()
    worker.close()
    return {name: min(values) for name, values in seconds.items()}


@torch.no_grad()
def change(model: nn.Module) -> None:
    """Changes every weight, as a training step does."""
    for parameter in model.parameters():
        parameter.mul_(1.001)


def thread_seconds() -> float:
    """Seconds of this thread: processor time and waiting for other threads, without waiting for the processor."""
    now = time.perf_counter()
    try:
        text = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
    except OSError:  # other systems than Linux: on a quiet machine it makes no difference
        return now
    return now - float(text.split()[1]) / 1e9


class EpochSeconds(Callback):
    """Measures epochs from the beginning of one to that of the next, with all that happens at its end."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Reads the clock."""
        self.starts.append(thread_seconds())


def seconds_added_by_figures(epochs: int, background: bool) -> float:
    """The median over the demo's observations with figures of what they add to the epoch before and after them."""
    clock = EpochSeconds()
    lens = FactorLensCallback(
        probe_size=PROBE_SIZE,
        max_overhead=None,
        tensorboard=TensorBoardOptions(figures_every_n=4),
        background=background,
        verbose=False,
    )
    fit_demo(epochs, [clock, lens])
    # From one beginning of an epoch to the next, the epoch and the observation after it. The figures of every fourth are
    # drawn during the epoch that follows.
    seconds = [later - earlier for earlier, later in zip(clock.starts, clock.starts[1:])]
    added = []
    for first in range(2, len(seconds) - 3, 4):
        with_figures = seconds[first] + seconds[first + 1]
        added.append(with_figures - seconds[first + 2] - seconds[first + 3])
    return statistics.median(added)


def demo_seconds(epochs: int, callbacks: list[Callback]) -> float:
    """Processor seconds of all threads for some epochs of the demo."""
    return timed(lambda: fit_demo(epochs, callbacks))[0]


def fit_demo(epochs: int, callbacks: list[Callback]) -> None:
    """Trains the demo's network."""
    torch.manual_seed(0)
    x, y = digits()
    data = TensorDataset(x[:IMAGES], y[:IMAGES])
    loader = DataLoader(data, batch_size=128, sampler=RandomSampler(data, num_samples=PASSES * IMAGES))
    unlabelled = TensorDataset(x[IMAGES : IMAGES + PROBE_SIZE], y[IMAGES : IMAGES + PROBE_SIZE])
    with TemporaryDirectory() as folder, silence():
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Classifier(network(), lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
        trainer.fit(model, loader, DataLoader(unlabelled, batch_size=PROBE_SIZE))
