"""Peak memory of an observation, compared with that of the user's own validation step with the same loader.

    python -m benchmarks.safety.memory [--quick]

For images of several sizes and loaders of several batch sizes, two fresh processes are measured: one validates a few
batches through a Trainer, the other draws a probe from the same loader and observes the same network twice. The figure
``observation_memory_ratio`` is the worst of the ratios

    (peak of the observation − captured blocks) / peak of the validation

where a peak is the largest resident set of the process (``ru_maxrss``), and the captured blocks are the bytes of the
probe's inputs, which are blocks themselves, and of the layers' blocks. Both processes import the same modules.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

from benchmarks.reporting import (
    ROOT,
    Figure,
    machine,
    markdown_table,
    print_figures,
    subprocess_environment,
    write_json,
    write_section,
)

#: Height and width of the images, and samples in each batch of the loader.
SETTINGS = [(256, 2), (256, 8), (512, 2), (512, 8), (1024, 1), (1024, 4)]
QUICK = [(256, 2), (512, 4)]
#: Samples in the probe and in the loader.
N_SAMPLES = 16
GOAL = 1.15


def main() -> None:
    """Measures every setting, and writes results and README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two settings; writes nothing")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "SIZE", "BATCH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        what, size, batch_size = args.child
        print(json.dumps(measure(what, int(size), int(batch_size))))
        return
    runs = [compare(size, batch_size) for size, batch_size in (QUICK if args.quick else SETTINGS)]
    figures = [Figure("observation_memory_ratio", max(run["ratio"] for run in runs), GOAL, at_most=True)]
    if not args.quick:
        write_json("safety", "memory", {"machine": machine(), "n_samples": N_SAMPLES, "runs": runs}, figures)
        write_section("safety", "memory", report(runs))
    print_figures(figures)


def compare(size: int, batch_size: int) -> dict[str, float]:
    """The peaks of both processes in MiB, and their ratio."""
    validation = run_child("validation", size, batch_size)
    observation = run_child("observation", size, batch_size)
    peak = observation["peak"] - observation["blocks"]
    found = {
        "size": size,
        "batch_size": batch_size,
        "validation": validation["peak"],
        "observation": observation["peak"],
        "blocks": observation["blocks"],
        "ratio": peak / validation["peak"],
    }
    print(found, flush=True)
    return found


def run_child(what: str, size: int, batch_size: int) -> dict[str, float]:
    """What a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.safety.memory", "--child", what, str(size), str(batch_size)]
    environment = {**subprocess_environment(threads=1), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(what: str, size: int, batch_size: int) -> dict[str, float]:
    """The peak of this process in MiB after a validation or two observations, and the captured blocks in MiB."""
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    torch.manual_seed(0)
    loader = DataLoader(_images(size), batch_size)
    module = _module()
    n_bytes = observe(module, loader) if what == "observation" else validate(module, loader)
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, "blocks": n_bytes / 2**20}


def validate(module: Any, loader: Any) -> int:
    """Validates some batches as a Trainer does."""
    from lightning.pytorch import Trainer

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", limit_val_batches=4, enable_model_summary=False, **options)
    trainer.validate(module, loader, verbose=False)
    return 0


def observe(module: Any, loader: Any) -> int:
    """Draws the probe and observes twice; returns the bytes of the captured blocks."""
    import torch

    from lightning_factorlens import FactorLens
    from lightning_factorlens.capture import DrawnBatch, Probe

    drawn = []
    for batch in loader:
        drawn.append(DrawnBatch(batch, len(batch[0])))
    del batch
    probe = Probe.from_batches(drawn, N_SAMPLES, keep_data=False)
    lens = FactorLens(module)
    for epoch in range(2):
        lens.observe(probe, epoch, epoch)
    n_features = 0
    for layer in lens.layer_table:
        if layer.selected:
            n_features += min(torch.Size(layer.shape).numel(), lens.options.max_neurons_per_layer or 0)
    return probe.inputs.nbytes + 4 * len(probe) * n_features


def _images(size: int) -> Any:
    """A dataset that makes its images one by one."""
    import torch
    from torch.utils.data import Dataset

    class Images(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return N_SAMPLES

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            generator = torch.Generator().manual_seed(index)
            return torch.rand(3, size, size, generator=generator), index % 4

    return Images()


def _module() -> Any:
    """A small convolutional classifier whose activations are larger than its inputs."""
    from lightning.pytorch import LightningModule
    from torch import nn

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            first = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)]
            second = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
            self.net = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32, 4))

        def forward(self, x: Any) -> Any:
            return self.net(x)

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    return Classifier()


def report(runs: list[dict[str, float]]) -> str:
    """The section of the README."""
    header = ("images", "batch size", "validation, MiB", "observation, MiB", "of it blocks", "ratio")
    rows = []
    for run in runs:
        sizes = [f"{run['size']:.0f}²", f"{run['batch_size']:.0f}"]
        peaks = [f"{run[name]:.0f}" for name in ("validation", "observation", "blocks")]
        rows.append([*sizes, *peaks, f"{run['ratio']:.3f}"])
    return (
        "## Memory\n\n"
        "`python -m benchmarks.safety.memory`: largest resident set of a process that observes and of one that "
        f"validates with the same loader; a probe of {N_SAMPLES} images. The ratio leaves out the captured blocks, "
        "the probe's inputs among them.\n\n" + markdown_table(header, rows)
    )


if __name__ == "__main__":
    main()
