"""The tasks of the study, split into those on which rules may be tuned and those that confirm them.

The split was fixed before any rule was tuned (`split.json`, `PROTOCOL.md`). Confirmation tasks differ from development
tasks in kind: only they contain ResNet-18, the small ViT on CIFAR-10, and other sizes, rates and combinations of noise,
schedule and optimizer. Their images come from the other half of the files, with other seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Part = Literal["development", "confirmation"]
SPLIT = Path(__file__).with_name("split.json")


@dataclass(frozen=True)
class Task:
    """One regime of training; a task and a seed make a record.

    Attributes:
        name: Name in lower case with dashes; with the seed appended it is the name of a record.
        part: Whether rules may be tuned on it.
        dataset: ``"mnist"`` or ``"cifar10"``.
        images: Number of labeled images; a tenth of them is held out as the validation split.
        net: A name of `networks.NETS`.
        epochs: Number of epochs without a stop.
        optimizer: ``"adam"`` or ``"sgd"`` (momentum 0.9).
        rate: The first learning rate.
        schedule: ``"constant"``, ``"step"`` (a tenth at 50 % of the epochs, again at 75 %) or ``"cosine"`` (to 0).
        noise: Fraction of the labels that are wrong, each changed to another class.
        imbalance: Images of the most frequent class divided by those of the rarest; 1 leaves the classes as they are.
        augment: Whether training images are shifted at random (and mirrored on CIFAR-10).
        dropout: Dropout probability before the last layer (in every block of the ViT).
        weight_decay: L2 (SGD) or decoupled (Adam becomes AdamW).
        batch: Images per step.
        healthy: Whether the task was designed so that nothing should stop it.
        seeds: Seeds of the records, one record each.
    """

    name: str
    part: Part
    dataset: Literal["mnist", "cifar10"]
    images: int
    net: str
    epochs: int
    optimizer: Literal["adam", "sgd"] = "adam"
    rate: float = 1e-3
    schedule: Literal["constant", "step", "cosine"] = "constant"
    noise: float = 0.0
    imbalance: float = 1.0
    augment: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0
    batch: int = 64
    healthy: bool = False
    seeds: tuple[int, ...] = (0, 1)


def _tasks(part: Part, first_seed: int, rows: Iterable[tuple[str, int, dict[str, Any]]]) -> Iterator[Task]:
    """Tasks of a part from (name, number of records, fields); data set, net and images are read from the name."""
    for name, records, fields in rows:
        dataset, net, images = name.split("-")[:3]
        seeds = tuple(range(first_seed, first_seed + records))
        yield Task(name, part, dataset, int(images), net, seeds=seeds, **fields)  # type: ignore[arg-type]


SGD: dict[str, Any] = {"optimizer": "sgd", "rate": 0.05}
DEVELOPMENT = tuple(
    _tasks(
        "development",
        0,
        [
            ("mnist-cnn8-500", 3, {"epochs": 40, "batch": 32}),
            ("mnist-cnn8-2000-imbalanced", 2, {"epochs": 40, "imbalance": 50.0}),
            ("mnist-cnn8-2000-noise40", 3, {"epochs": 40, "noise": 0.4}),
            ("mnist-cnn8-1000-noise20-sgd-cosine", 2, {"epochs": 50, "noise": 0.2, "schedule": "cosine", **SGD}),
            ("mnist-cnn8-10000-augment-dropout", 2, {"epochs": 30, "augment": True, "dropout": 0.3, "healthy": True}),
            ("mnist-vit-2000-noise20", 2, {"epochs": 40, "noise": 0.2}),
            ("cifar10-cnn16-4000", 3, {"epochs": 40}),
            ("cifar10-cnn16-2000-noise40-sgd", 3, {"epochs": 40, "noise": 0.4, "optimizer": "sgd", "rate": 0.01}),
            ("cifar10-cnn16-2000-cosine", 2, {"epochs": 40, "schedule": "cosine"}),
            ("cifar10-cnn16-4000-augment-dropout", 2, {"epochs": 40, "augment": True, "dropout": 0.3, "healthy": True}),
            ("cifar10-resnet8-2000-sgd-step", 3, {"epochs": 30, "schedule": "step", **SGD}),
            ("cifar10-resnet8-2000-noise40", 3, {"epochs": 30, "noise": 0.4}),
            (
                "cifar10-resnet8-4000-augment-sgd-cosine",
                2,
                {"epochs": 30, "augment": True, "schedule": "cosine", "weight_decay": 5e-4, "healthy": True, **SGD},
            ),
        ],
    )
)
CONFIRMATION = tuple(
    _tasks(
        "confirmation",
        100,
        [
            ("mnist-cnn16-1000-sgd", 2, {"epochs": 50, **SGD}),
            ("mnist-cnn16-3000-noise40-cosine", 2, {"epochs": 40, "noise": 0.4, "schedule": "cosine"}),
            ("mnist-cnn16-5000-noise20-sgd-step", 2, {"epochs": 40, "noise": 0.2, "schedule": "step", **SGD}),
            ("mnist-cnn16-2000-noise20-imbalanced", 2, {"epochs": 40, "noise": 0.2, "imbalance": 20.0}),
            (
                "mnist-cnn16-20000-augment-sgd-cosine",
                2,
                {"epochs": 20, "augment": True, "schedule": "cosine", "weight_decay": 5e-4, "healthy": True, **SGD},
            ),
            ("mnist-vit-1000", 2, {"epochs": 50}),
            ("mnist-vit-5000-noise40", 2, {"epochs": 30, "noise": 0.4}),
            ("cifar10-cnn16-1000-dropout-sgd", 2, {"epochs": 60, "dropout": 0.5, "optimizer": "sgd", "rate": 0.01}),
            ("cifar10-cnn24-3000-imbalanced", 2, {"epochs": 40, "imbalance": 20.0}),
            ("cifar10-cnn24-3000-noise40-cosine", 2, {"epochs": 30, "noise": 0.4, "schedule": "cosine"}),
            ("cifar10-cnn16-8000-noise20", 2, {"epochs": 30, "noise": 0.2}),
            ("cifar10-cnn16-20000-augment", 2, {"epochs": 20, "augment": True, "dropout": 0.2, "healthy": True}),
            (
                "cifar10-resnet8-3000-noise20-augment-sgd-step",
                2,
                {"epochs": 30, "noise": 0.2, "augment": True, "schedule": "step", **SGD},
            ),
            (
                "cifar10-resnet8-8000-augment-cosine",
                2,
                {"epochs": 25, "augment": True, "schedule": "cosine", "weight_decay": 1e-2, "healthy": True},
            ),
            ("cifar10-resnet18-2000", 2, {"epochs": 30}),
            ("cifar10-resnet18-2000-noise40-sgd", 2, {"epochs": 30, "noise": 0.4, **SGD}),
            (
                "cifar10-resnet18-4000-augment-sgd-cosine",
                2,
                {"epochs": 30, "augment": True, "schedule": "cosine", "weight_decay": 5e-4, "healthy": True, **SGD},
            ),
            ("cifar10-vit-4000", 2, {"epochs": 40}),
            ("cifar10-vit-4000-noise20-cosine", 2, {"epochs": 40, "noise": 0.2, "schedule": "cosine"}),
            ("cifar10-vit-10000-augment-dropout", 2, {"epochs": 30, "augment": True, "dropout": 0.1, "healthy": True}),
        ],
    )
)
TASKS = {task.name: task for task in (*DEVELOPMENT, *CONFIRMATION)}


def record_name(task: Task, seed: int) -> str:
    """The name of a record's files, without a suffix."""
    return f"{task.name}-s{seed}"


def split() -> dict[str, list[dict[str, Any]]]:
    """The split as in `split.json`: every task with all its fields, by part."""
    return {"development": [asdict(t) for t in DEVELOPMENT], "confirmation": [asdict(t) for t in CONFIRMATION]}


def main() -> None:
    """Writes `split.json`: ``python -m benchmarks.stopping.tasks``."""
    SPLIT.write_text(json.dumps(split(), indent=1) + "\n")


if __name__ == "__main__":
    main()
