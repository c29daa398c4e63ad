"""Time to the first training step with a slow dataset, with and without the callback.

    python -m benchmarks.safety.first_step [--quick]

A sample of the validation set takes 50 ms to read, and its loader has eight workers. The callback may add the time of
one pass of the probe through that loader: the figure is the time to the first step with the callback, divided by the
sum of the time without it and of that pass.
"""

from __future__ import annotations

import argparse
import time

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.reporting import Figure, machine, markdown_table, median, print_figures, write_json, write_section
from lightning_factorlens import FactorLensCallback

#: Seconds in which a sample is read.
SECONDS_PER_SAMPLE = 0.05
BATCH_SIZE = 16


class SlowImages(Dataset[tuple[Tensor, int]]):
    """Images that take a while to read, as from remote storage."""

    def __init__(self, count: int) -> None:
        self.images = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        time.sleep(SECONDS_PER_SAMPLE)
        return self.images[index], index % 4


class Network(LightningModule):
    """A small network that notes when its first training step begins."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4)
        )
        self.first_step_at = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores of the classes."""
        output: Tensor = self.net(x)
        return output

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Notes the time of the first step and returns the loss."""
        if batch_idx == 0:
            self.first_step_at = time.perf_counter()
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Runs a forward pass."""
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


def seconds_to_first_step(count: int, workers: int, with_lens: bool) -> float:
    """Seconds from ``fit`` to the first training step, with two batches of validation as a sanity check."""
    torch.manual_seed(0)
    callbacks = [FactorLensCallback(probe_size=count, verbose=False, on_error="raise")] if with_lens else []
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=2,
    )
    training = TensorDataset(torch.rand(32, 3, 16, 16), torch.randint(0, 4, (32,)))
    validation = DataLoader(SlowImages(count), BATCH_SIZE, num_workers=workers)
    module = Network()
    start = time.perf_counter()
    trainer.fit(module, DataLoader(training, BATCH_SIZE), validation)
    return module.first_step_at - start


def seconds_of_pass(count: int, workers: int) -> float:
    """Seconds of one pass of the probe through its loader."""
    start = time.perf_counter()
    for _ in DataLoader(SlowImages(count), BATCH_SIZE, num_workers=workers):
        pass
    return time.perf_counter() - start


def main() -> None:
    """Measures, writes the results and prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 samples, two workers and one round; writes nothing")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind, of which the median counts")
    args = parser.parse_args()
    count, workers, rounds = (64, 2, 1) if args.quick else (256, 8, args.rounds)
    torch.set_num_threads(1)
    about = machine(["lightning"])
    seconds_to_first_step(64, workers, with_lens=True)  # imports and caches
    without, through_loader, with_lens = [], [], []
    for _ in range(rounds):
        without.append(seconds_to_first_step(count, workers, with_lens=False))
        through_loader.append(seconds_of_pass(count, workers))
        with_lens.append(seconds_to_first_step(count, workers, with_lens=True))
    ratio = median(with_lens) / (median(without) + median(through_loader))
    figures = [Figure("first_step_ratio", ratio, 1.5, at_most=True)]
    rows = {"without the callback": without, "one pass of the probe": through_loader, "with the callback": with_lens}
    if not args.quick:
        write_json("safety", "first_step", {"machine": about, "seconds": rows}, figures)
        table = markdown_table(["time", "median s"], [[name, f"{median(times):.2f}"] for name, times in rows.items()])
        write_section(
            "safety",
            "first_step",
            "## The first step with a slow dataset\n\n"
            f"`python -m benchmarks.safety.first_step`, {about['date'][:10]}, {about['processor']}, {about['cores']} "
            f"cores shared with other work (load {about['load_average'][0]:.1f} at the start). {count} samples of "
            f"{SECONDS_PER_SAMPLE * 1000:.0f} ms, {workers} workers, from `fit` to the first training step, two "
            f"batches of sanity check included; {rounds} rounds.\n\n{table}",
        )
    print_figures(figures)


if __name__ == "__main__":
    main()
