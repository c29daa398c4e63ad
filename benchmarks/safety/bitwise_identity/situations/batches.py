"""Trainings with collate functions and batches of every structure, size and type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, Training, small_net
from benchmarks.safety.bitwise_identity.situations.collate import (
    CallWithGraphs,
    FirstOf,
    GraphNet,
    Graphs,
    MixUp,
    OfDicts,
    OfLists,
    Recurrent,
    Sequences,
    VaryingImages,
    as_dict,
    as_tuples,
    first,
    join_graphs,
    pad,
)
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, N_VALIDATION, Images
from lightning_factorlens import LensOptions
from lightning_factorlens.factorization import HALS


class BytesOfRows(Images):
    """8-bit images with the channels last, as cameras and video decoders give them."""

    def __getitem__(self, i: int) -> Any:
        return (self.x[i] * 255).to(torch.uint8).movedim(0, -1), self.y[i]


class ChannelsLastBytes(Classifier):
    """Takes 8-bit images with the channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.net(x.movedim(-1, 1).float() / 255)


def both(
    dataset: Callable[[], Dataset[Any]],
    module: Callable[[], Classifier] = Classifier,
    size: int = BATCH_SIZE,
    **options: Any,
) -> Callable[[Path], Training]:
    """Training and validation on one dataset, with the same options of the loaders."""

    def make(_: Path) -> Training:
        data = dataset()
        train = DataLoader(data, size, shuffle=True, **options)
        return Training(module=module(), train=train, validation=DataLoader(data, size, **options))

    return make


def validation_images() -> Images:
    """16 images."""
    return Images(N_VALIDATION)


def shared_mixup(folder: Path) -> Training:
    """One collate function with its own generator for training and validation."""
    return both(validation_images, collate_fn=MixUp())(folder)


def few(n: int) -> Callable[[Path], Training]:
    """So few validation images that the ranks exceed them."""

    def make(_: Path) -> Training:
        return Training(validation=DataLoader(Images(n, seed=1), BATCH_SIZE))

    return make


def hyperspectral() -> Classifier:
    """A network for 200 channels."""
    return Classifier(small_net(200))


def with_batch_axis(model: nn.Module, batch: Any) -> Any:
    """Calls a model on a batch that is one sample without a batch axis."""
    return model(batch[0][None])


ONE_SAMPLE: dict[str, Any] = {"forward_fn": with_batch_axis}
DEFAULT_RANKS: dict[str, Any] = {"lens": LensOptions(solver=HALS(n_init=1))}
GRAPHS: dict[str, Any] = {"forward_fn": CallWithGraphs()}
SITUATIONS = tuple(
    Situation("batch", name, make, options)
    for name, make, options in (
        ("collate function with its own generator", shared_mixup, {}),
        ("collate function that picks a sample", both(validation_images, FirstOf, 1, collate_fn=first), ONE_SAMPLE),
        ("tuples of images", both(validation_images, OfLists, collate_fn=as_tuples), {}),
        ("tuples of images of different sizes", both(lambda: VaryingImages(16), OfLists, collate_fn=as_tuples), {}),
        ("dictionaries", both(validation_images, OfDicts, collate_fn=as_dict), {}),
        ("padded series", both(Sequences, Recurrent, collate_fn=pad), {}),
        ("images of different sizes, batch_size=1", both(lambda: VaryingImages(16), size=1), {}),
        ("graphs", both(Graphs, GraphNet, collate_fn=join_graphs), GRAPHS),
        ("3 validation images, default ranks", few(3), DEFAULT_RANKS),
        ("1 validation image, default ranks", few(1), DEFAULT_RANKS),
        ("200 channels", both(lambda: Images(16, channels=200), hyperspectral), {}),
        ("uint8, channels last", both(lambda: BytesOfRows(16), ChannelsLastBytes), {}),
    )
)
