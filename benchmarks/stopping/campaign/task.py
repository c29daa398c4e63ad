"""What defines a run of the second campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["development", "confirmation", "third"]
FirstSchedule = Literal["constant", "step", "cosine", "warmup_cosine", "restarts", "onecycle"]
Schedule = Literal[FirstSchedule, "linear", "polynomial", "exponential", "warmup_constant"]
FirstDataset = Literal[
    "mnist", "cifar10", "pairs", "clutter", "digits", "cancer", "mixture", "teacher", "rows", "waves", "markov"
]
ThirdDataset = Literal[
    "animals",
    "vehicles",
    "mammals",
    "grey",
    "parity",
    "similar",
    "turned",
    "pasted",
    "handwritten",
    "shapes",
    "friedman",
    "checks",
    "scanlines",
    "walks",
    "motifs",
]
Dataset = Literal[FirstDataset, ThirdDataset]
#: Data sets by the kind of their outputs, where it is not one class for each sample.
MULTILABEL = frozenset({"pairs"})
PIXEL_CLASSES = frozenset({"clutter"})
#: Data sets whose images may be mirrored without a change of their class.
MIRRORED = frozenset({"cifar10", "animals", "vehicles", "mammals", "grey"})
#: Schedules whose rate does not fall.
CONSTANT = frozenset({"constant", "warmup_constant"})


@dataclass(frozen=True)
class Task:
    """One kind of training; a task and a seed make a run.

    Attributes:
        name: Name in lower case with dashes; with the seed appended it is the name of a run.
        part: Whether rules may be tuned on it.
        regime: Group of tasks for which a mean is reported.
        dataset: A key of `sources.SOURCES`.
        images: Number of labeled samples; a tenth of them is held out as the validation split.
        net: A name of `networks.NETS`.
        epochs: Number of epochs without a stop.
        side: Side of the images after pooling, for images from MNIST and CIFAR-10.
        optimizer: ``"adam"``, ``"adamw"``, ``"sgd"`` (momentum 0.9), ``"nesterov"`` (SGD with Nesterov's momentum of
            0.9), or ``"rmsprop"``.
        rate: The first learning rate; the highest one where the rate rises.
        schedule: Course of the learning rate, see `schedules.rate_factor`.
        drops: Epochs after which the rate falls to a tenth, for ``"step"``.
        cycles: Lengths of the cycles in epochs, for ``"restarts"``.
        noise: Fraction of the labels that are wrong, each changed to another class.
        imbalance: Samples of the most frequent class divided by those of the rarest; 1 leaves the classes as they are.
        augment: Whether training images are shifted at random (and mirrored, for the data sets of `MIRRORED`).
        dropout: Dropout probability before the last layer (in every block of a transformer).
        weight_decay: L2 (SGD, RMSprop) or decoupled (AdamW).
        smoothing: Label smoothing of the training loss.
        mixup: Parameter of the Beta distribution from which mix-up draws; 0 mixes nothing.
        pretrained: ``"classes"``: pretrained on the half of the classes that the task does not have; ``"grey"``:
            pretrained on CIFAR-10 in grey; empty for random weights.
        probe: How the probe differs from the hidden test: not at all (``"same"``), ``"noisy"``, ``"contrast"``,
            ``"rotated"``, ``"blurred"`` images, or other frequencies of the ``"classes"``.
        batch: Samples per step.
        healthy: Whether the task was designed so that nothing should stop it.
        seeds: Seeds of the runs.
        erase: Whether a random square of half the side of every training image is set to the mean.
        noise_kind: Which labels are wrong, see `label_noise.structured_noise`.
    """

    name: str
    part: Part
    regime: str
    dataset: Dataset
    images: int
    net: str
    epochs: int
    side: int = 16
    optimizer: Literal["adam", "adamw", "sgd", "nesterov", "rmsprop"] = "adam"
    rate: float = 1e-3
    schedule: Schedule = "constant"
    drops: tuple[int, ...] = ()
    cycles: tuple[int, ...] = ()
    noise: float = 0.0
    imbalance: float = 1.0
    augment: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0
    smoothing: float = 0.0
    mixup: float = 0.0
    pretrained: Literal["", "classes", "grey"] = ""
    probe: Literal["same", "noisy", "contrast", "rotated", "classes", "blurred"] = "same"
    batch: int = 64
    healthy: bool = False
    seeds: tuple[int, ...] = ()
    erase: bool = False
    noise_kind: Literal["uniform", "pair", "some_classes", "features"] = "uniform"

    @property
    def kind(self) -> str:
        """What the outputs are: ``"classes"``, ``"multilabel"`` or ``"pixel_classes"``."""
        if self.dataset in MULTILABEL:
            return "multilabel"
        return "pixel_classes" if self.dataset in PIXEL_CLASSES else "classes"

    @property
    def is_long_plateau(self) -> bool:
        """Whether the rate is constant for 150 epochs or more before its first drop."""
        return self.schedule == "step" and min(self.drops) >= 150

    @property
    def cell(self) -> str:
        """One of four groups of all tasks, e.g. ``"noisy annealed"``."""
        noise = "noisy" if self.noise else "clean"
        return f"{noise} {'constant' if self.schedule in CONSTANT else 'annealed'}"
