"""What logging costs on a network of 20 layers: milliseconds per epoch without figures, megabytes with them.

    python -m benchmarks.overhead.logging_cost

Processor time is measured and not wall time, so that other work on the machine does not count; it includes that of all
threads, among them the one that writes TensorBoard's files. The probe consists of 256 crops of scikit-learn's two
sample photographs, because images of noise would not compress as photographs do.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.reporting import Figure, machine, median, print_figures, write_json
from lightning_factorlens import FactorLensCallback, TensorBoardOptions
from lightning_factorlens.callbacks._observation_planner import ObservationPlanner
from lightning_factorlens.callbacks._observer import Observer
from lightning_factorlens.callbacks._publisher import Publisher
from lightning_factorlens.callbacks._unfinished import UnfinishedObservation
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars

LAYERS = 20
EPOCHS = 6
SIZE = 32


class MeteredPublisher(Publisher):
    """Adds up the processor time of writing observations and of publishing the monitored scalars.

    Attributes:
        seconds: Processor seconds since they were last set to 0.
    """

    seconds = 0.0

    def write(self) -> None:
        """Writes the last observation."""
        start = time.process_time()
        super().write()
        self.seconds += time.process_time() - start

    def complete_cost(self) -> None:
        """Writes the cost of the last observation."""
        start = time.process_time()
        super().complete_cost()
        self.seconds += time.process_time() - start

    def publish(self, trainer: Trainer) -> None:
        """Publishes the monitored scalars."""
        start = time.process_time()
        super().publish(trainer)
        self.seconds += time.process_time() - start


class MeteredCallback(FactorLensCallback):
    """Measures the processor time of logging.

    Attributes:
        seconds_by_epoch: Processor seconds of logging in each epoch, the logger's flush included.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seconds_by_epoch: list[float] = []
        self._metered = MeteredPublisher(self, self._results, self._worker)
        self._publisher = self._metered
        self._unfinished = UnfinishedObservation(self, self._results, self._metered)
        planner = ObservationPlanner(self, self._results)
        self._observer = Observer(
            self, self._results, self._prepared, self._metered, planner, self._unfinished, self._worker
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Observes, and keeps the processor time of logging."""
        self._metered.seconds = 0.0
        super().on_train_epoch_end(trainer, pl_module)
        start = time.process_time()
        trainer.logger.experiment.flush()  # type: ignore[union-attr]
        self.seconds_by_epoch.append(self._metered.seconds + time.process_time() - start)


class Network(LightningModule):
    """`LAYERS` convolutions of 32 channels, each with its ReLU, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k in range(LAYERS):
            layers += [nn.Conv2d(32 if k else 3, 32, 3, padding=1), nn.ReLU()]
            if k in (6, 13):
                layers.append(nn.MaxPool2d(2))
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits."""
        return self.net(x)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Returns the cross-entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, *_: object) -> None:
        """Does nothing; the callback takes its probe from the validation loader."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


def crops(n: int) -> Tensor:
    """Random squares of two photographs at half their size, shape (n, 3, SIZE, SIZE), in [0, 1]."""
    halves = []
    for photo in load_sample_images().images:
        pixels = torch.tensor(photo).permute(2, 0, 1)[None] / 255
        halves.append(nn.functional.avg_pool2d(pixels, 2)[0])
    height, width = halves[0].shape[1:]
    tops = torch.randint(height - SIZE, (n,)).tolist()
    lefts = torch.randint(width - SIZE, (n,)).tolist()
    squares = []
    for k, (top, left) in enumerate(zip(tops, lefts)):
        squares.append(halves[k % 2][:, top : top + SIZE, left : left + SIZE])
    return torch.stack(squares)


def run(figures_every_n: int) -> tuple[MeteredCallback, float]:
    """Trains once.

    Returns:
        The callback, and the megabytes of TensorBoard files per observation.
    """
    torch.manual_seed(0)
    images = crops(256)
    labels = torch.randint(10, (256,))
    loader = DataLoader(TensorDataset(images, labels), 64)
    callback = MeteredCallback(tensorboard=TensorBoardOptions(figures_every_n=figures_every_n), verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            callbacks=[callback],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
        )
        trainer.fit(Network(), loader, loader)
        written = sum(file.stat().st_size for file in Path(folder).rglob("events.*"))
    return callback, written / 1e6 / (EPOCHS + 1)  # there is one observation before the first epoch


def main() -> None:
    """Trains without and with figures, writes the results and prints the figures."""
    warnings.simplefilter("ignore")
    without_figures, plain_size = run(figures_every_n=0)
    with_figures, size = run(figures_every_n=1)
    observation = without_figures.observation
    assert observation is not None
    measurements = without_figures.measurements
    scalars = len(monitored_scalars(observation, measurements) | other_scalars(observation, measurements))
    milliseconds = [1e3 * seconds for seconds in without_figures.seconds_by_epoch]
    milliseconds_with_figures = [1e3 * seconds for seconds in with_figures.seconds_by_epoch]
    figures = [
        Figure("logging_ms_an_epoch", median(milliseconds), 60, at_most=True),
        Figure("event_megabytes_an_epoch", size, 2, at_most=True),
    ]
    payload = {
        "machine": machine(["lightning", "tensorboard", "matplotlib"]),
        "layers": LAYERS,
        "scalars": scalars,
        "logging_ms": milliseconds,
        "with_pictures_ms": milliseconds_with_figures,
        "event_megabytes_without_pictures": plain_size,
    }
    print(
        f"{scalars} scalars; {median(milliseconds):.0f} ms of processor time, with figures "
        f"{median(milliseconds_with_figures):.0f} ms"
    )
    write_json("overhead", "logging_cost", payload, figures)
    print_figures(figures)


if __name__ == "__main__":
    main()
