"""Trains on a CUDA device with and without the lens, and compares everything, bit for bit.

    python -m benchmarks.safety.gpu

Every set-up is trained three times: without the lens, once more without it (a training that does not repeat itself
cannot be compared), and with it. Compared are weights, buffers, the states of the optimizer and of the gradient scaler,
the losses of all steps, and the random states of the CPU and of the device. One set-up leaves the lens so little device
memory that its first passes fail and have to be made smaller. The cost of an observation on a ResNet-18 is printed too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from lightning_factorlens import FactorLensCallback


@dataclass(frozen=True)
class SetUp:
    """One way to train on a device.

    Attributes:
        name: Its name.
        trainer: Arguments of the Trainer.
        data_on_device: Whether the datasets hold CUDA tensors.
        n_workers: Worker processes of the loaders.
        compiled: Whether the network is compiled.
        channels_last: Whether weights and images are stored channels last.
        image_size: Pixels of an image's side.
        free_bytes: Device memory that is left for the whole process; None for all.
    """

    name: str
    trainer: dict[str, Any] = field(default_factory=dict)
    data_on_device: bool = False
    n_workers: int = 0
    compiled: bool = False
    channels_last: bool = False
    image_size: int = 32
    free_bytes: int | None = None


SETUPS = (
    SetUp("float32"),
    SetUp("float32, TF32 products", {"benchmark": False}),
    SetUp("bf16-mixed", {"precision": "bf16-mixed"}),
    SetUp("16-mixed, gradient scaler", {"precision": "16-mixed"}),
    SetUp("bf16-true", {"precision": "bf16-true"}),
    SetUp("datasets of CUDA tensors", data_on_device=True),
    SetUp("loader workers", n_workers=2),
    SetUp("compiled", compiled=True),
    SetUp("channels last, bf16-mixed", {"precision": "bf16-mixed"}, channels_last=True),
    SetUp("accumulation and clipping", {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}),
    SetUp("little device memory", image_size=256, free_bytes=3 << 30),
)


class Network(LightningModule):
    """A network with batch normalization and dropout, whose masks come from the device's random state."""

    def __init__(self, setup: SetUp) -> None:
        super().__init__()
        width, side = 64, setup.image_size // 8
        net: Any = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.AvgPool2d(side), nn.Flatten(),
            nn.Linear(16 * width, 10),
        )  # fmt: skip
        if setup.channels_last:
            net = net.to(memory_format=torch.channels_last)
        self.net = torch.compile(net) if setup.compiled else net
        self.losses: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores of the classes."""
        output: Tensor = self.net(x)
        return output

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Returns the loss and keeps its value."""
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Runs a forward pass."""
        self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam, whose state is compared."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(setup: SetUp, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Trains for three epochs and returns everything that must not depend on the lens."""
    seed_everything(3, verbose=False)
    torch._dynamo.reset()
    torch.set_float32_matmul_precision("high" if "TF32" in setup.name else "highest")
    size = setup.image_size
    n_samples = 64 if setup.free_bytes else 256
    images, labels = torch.rand(n_samples, 3, size, size), torch.randint(0, 10, (n_samples,))
    if setup.data_on_device:
        images, labels = images.cuda(), labels.cuda()
    data = TensorDataset(images, labels)
    training = DataLoader(data, 8 if setup.free_bytes else 32, shuffle=True, num_workers=setup.n_workers)
    validation = DataLoader(data, n_samples, num_workers=setup.n_workers)
    module = Network(setup)
    trainer = Trainer(
        accelerator="gpu", devices=1, max_epochs=3, logger=False, callbacks=list(callbacks), deterministic=True,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        num_sanity_val_steps=0, **setup.trainer,
    )  # fmt: skip
    trainer.fit(module, training, validation)
    plugin = trainer.strategy.precision_plugin
    scaler = getattr(plugin, "scaler", None)
    return {
        "weights": module.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict()["state"],
        "losses": torch.stack(module.losses),
        "scaler": scaler.state_dict() if scaler is not None else {},
        "random state of the CPU": torch.get_rng_state(),
        "random state of the device": torch.cuda.get_rng_state(),
    }


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """The paths at which two nested results differ."""
    if isinstance(first, dict):
        found = [] if first.keys() == second.keys() else [f"{path}: keys"]
        for key in first.keys() & second.keys():
            found += differences(first[key], second[key], f"{path}/{key}")
        return found
    if isinstance(first, Tensor):
        is_equal = first.dtype == second.dtype and torch.equal(first, second)
    else:
        is_equal = first == second
    return [] if is_equal else [path]


def compare(setup: SetUp) -> dict[str, Any]:
    """Trains three times and compares; an error counts as a difference."""
    if setup.free_bytes:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(setup.free_bytes / total)
    try:
        plain = train(setup, [])
        unrepeated = differences(plain, train(setup, []))
        lens = FactorLensCallback(probe_size=64, max_overhead=None, on_error="raise", verbose=False)
        changed = differences(plain, train(setup, [lens]))
        layers = len(lens.state.layers)
        result = {"observations": lens.state.n_measured, "layers": layers, "unrepeated": unrepeated, "changed": changed}
    except Exception as error:
        result = {"observations": 0, "layers": 0, "unrepeated": [], "changed": [f"{type(error).__name__}: {error}"]}
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return {"set-up": setup.name, **result}


def cost_of_an_observation() -> dict[str, float]:
    """Seconds by phase of a warm observation of a ResNet-18 on 256 images of 32 × 32 pixels."""
    import torchvision

    from lightning_factorlens import FactorLens

    seed_everything(3, verbose=False)
    model = torchvision.models.resnet18(num_classes=10).cuda()
    lens = FactorLens(model, outputs="classes")
    probe = torch.rand(256, 3, 32, 32)
    for _ in range(3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.01)
        observation = lens.observe(probe)
    seconds: dict[str, float] = observation["cost"].seconds
    return seconds


def section(payload: dict[str, Any]) -> str:
    """The section of the README."""
    rows = []
    for row in payload["rows"]:
        verdict = "; ".join(row["changed"]) or "identical"
        if row["unrepeated"]:
            verdict = "does not repeat itself without the lens"
        rows.append((row["set-up"], str(row["observations"]), verdict))
    about = payload["machine"]
    seconds = payload["cost_seconds"]
    phases = ", ".join(f"{name} {1e3 * value:.0f}" for name, value in seconds.items() if value >= 1e-3)
    return f"""## On a GPU

`python -m benchmarks.safety.gpu`, {about["date"][:10]}, {about["gpu"]}, torch {about["versions"]["torch"]}, lightning
{about["versions"]["lightning"]}: weights, optimizer, losses and random states with and without the lens.

{markdown_table(("set-up", "observations", "result"), rows)}

Milliseconds of a warm observation of a ResNet-18 on 256 images of 32 × 32 pixels: {phases}."""


def main() -> None:
    """Compares all set-ups and prints the figures; writes the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by deterministic=True
    if not torch.cuda.is_available():
        print("no CUDA device is available")
        return
    rows = []
    for setup in SETUPS:
        row = compare(setup)
        rows.append(row)
        verdict = "; ".join(row["changed"])[:600] or "identical"
        print(f"{setup.name}: {row['observations']} observations, {row['layers']} layers, {verdict}", flush=True)
        if row["unrepeated"]:
            print(f"  does not repeat itself without the lens: {row['unrepeated'][:3]}")
    seconds = cost_of_an_observation()
    print(markdown_table(("phase", "ms"), [(name, f"{1e3 * value:.1f}") for name, value in seconds.items()]))
    comparable = [row for row in rows if not row["unrepeated"]]
    identical = sum(not row["changed"] and row["observations"] > 0 for row in comparable)
    differing = len(comparable) - identical
    figures = [
        Figure("gpu_identical_setups", identical, 10),
        Figure("gpu_differing_setups", differing, 0, at_most=True),
    ]
    payload = {"machine": machine(["lightning"]), "rows": rows, "cost_seconds": seconds}
    write_json("safety", "gpu", payload, figures)
    write_section("safety", "gpu", section(payload))
    print_figures(figures)


if __name__ == "__main__":
    main()
