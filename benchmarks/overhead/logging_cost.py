"""What logging costs on a net of 20 layers: milliseconds an epoch without the pictures, megabytes with them.

python -m benchmarks.overhead.logging_cost

Processor time and not the clock's, so that other work on the machine does not count; all threads', the one that writes
TensorBoard's files included. The probe is 256 crops of scikit-learn's two sample photographs: pictures of noise would
not compress as photographs do.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.reporting import Figure, machine, median, print_figures, write_json
from lightning_factorlens import FactorLensCallback
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars

LAYERS, EPOCHS, SIZE = 20, 6, 32


class Metered(FactorLensCallback):
    """Adds up the processor time of what belongs to logging."""

    spent = 0.0

    def _write(self) -> None:
        start = time.process_time()
        super()._write()
        self.spent += time.process_time() - start

    def _tell(self, pl_module: LightningModule) -> None:
        start = time.process_time()
        super()._tell(pl_module)
        self.spent += time.process_time() - start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One epoch's share."""
        self.spent = 0.0
        super().on_train_epoch_end(trainer, pl_module)
        start = time.process_time()
        trainer.logger.experiment.flush()
        self.epochs = [*getattr(self, "epochs", []), self.spent + time.process_time() - start]


class Net(LightningModule):
    """So many convolutions of 32 channels, each with its ReLU, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for k in range(LAYERS):
            parts += [nn.Conv2d(32 if k else 3, 32, 3, padding=1), nn.ReLU()]
            parts += [nn.MaxPool2d(2)] if k in (6, 13) else []
        self.net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.net(x)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, *_: object) -> None:
        """The lens takes its probe from this loader."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


def crops(n: int) -> Tensor:
    """Squares of photographs at half their size, (n, 3, SIZE, SIZE) in [0, 1]."""
    photos = [torch.tensor(photo).permute(2, 0, 1)[None] / 255 for photo in load_sample_images().images]
    halves = [nn.functional.avg_pool2d(photo, 2)[0] for photo in photos]
    height, width = halves[0].shape[1:]
    y, x = torch.randint(height - SIZE, (n,)).tolist(), torch.randint(width - SIZE, (n,)).tolist()
    return torch.stack([halves[k % 2][:, a : a + SIZE, b : b + SIZE] for k, (a, b) in enumerate(zip(y, x))])


def one(figures_every: int) -> tuple[Metered, float]:
    """A run; the lens, and the megabytes of event file an epoch."""
    torch.manual_seed(0)
    images, labels = crops(256), torch.randint(10, (256,))
    loader = DataLoader(TensorDataset(images, labels), 64)
    lens = Metered(figures_every_n=figures_every, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            callbacks=[lens],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
        )
        trainer.fit(Net(), loader, loader)
        written = sum(file.stat().st_size for file in Path(folder).rglob("events.*"))
    return lens, written / 1e6 / (EPOCHS + 1)  # one look before the first epoch


def main() -> None:
    """Both runs, their JSON, the closing lines."""
    warnings.simplefilter("ignore")
    plain, plain_size = one(0)
    drawn, size = one(1)
    assert plain.observation is not None
    scalars = len(monitored_scalars(plain.observation) | other_scalars(plain.observation))
    logging = 1e3 * median(plain.epochs)
    figures = [
        Figure("logging_ms_an_epoch", logging, 60, at_most=True),
        Figure("event_megabytes_an_epoch", size, 2, at_most=True),
    ]
    payload = {
        "machine": machine(["lightning", "tensorboard", "matplotlib"]),
        "layers": LAYERS,
        "scalars": scalars,
        "logging_ms": [1e3 * seconds for seconds in plain.epochs],
        "with_pictures_ms": [1e3 * seconds for seconds in drawn.epochs],
        "event_megabytes_without_pictures": plain_size,
    }
    print(f"{scalars} scalars; {logging:.0f} ms, with pictures {1e3 * median(drawn.epochs):.0f} ms of processor time")
    write_json("overhead", "logging_cost", payload, figures)
    print_figures(figures)


if __name__ == "__main__":
    main()
