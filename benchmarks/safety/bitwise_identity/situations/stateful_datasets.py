"""Datasets with random transforms whose generator training and validation share."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.safety.bitwise_identity.situations.base import Situation, Training
from benchmarks.safety.bitwise_identity.situations.data import N_TRAIN, N_VALIDATION, Images, split

N = N_TRAIN + N_VALIDATION
#: A generator of the module, as scripts have one.
GENERATOR = np.random.default_rng(0)


def draw_from(generator: Any) -> float:
    """A number in [0, 1) from a generator of numpy, Python or torch."""
    if isinstance(generator, torch.Generator):
        return float(torch.rand((), generator=generator))
    return float(generator.random())


class OwnGenerator(Images):
    """Scales every image by a draw from its own generator."""

    def __init__(self, generator: Any) -> None:
        super().__init__(N)
        self.generator = generator

    def __getitem__(self, i: int) -> Any:
        return self.x[i] * draw_from(self.generator), self.y[i]


class OfTheClass(OwnGenerator):
    """Its generator belongs to the class, which a copy of the dataset shares."""

    shared = np.random.default_rng(0)

    def __getitem__(self, i: int) -> Any:
        return self.x[i] * draw_from(self.shared), self.y[i]


class Fetching(OwnGenerator):
    """Fetches a whole batch of samples at once with ``__getitems__``, with one draw for all of them."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """The samples of a batch."""
        scale = draw_from(self.generator)
        return [(self.x[i] * scale, self.y[i]) for i in indices]


class Transformed(Images):
    """Applies a transform to every image."""

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__(N)
        self.transform = transform

    def __getitem__(self, i: int) -> Any:
        return self.transform(self.x[i]), self.y[i]


class RandomScale:
    """A transform with a generator of its own, which nothing but its seed determines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, x: Tensor) -> Tensor:
        """The scaled image."""
        return x * self.random.random()


class RandomFlip:
    """Mirrors an image with a probability; the generator is passed on by `Compose`."""

    random_generator: np.random.Generator

    def __call__(self, x: Tensor) -> Tensor:
        """The image or its mirror image."""
        return x.flip(-1) if self.random_generator.random() < 0.5 else x


class Compose:
    """Applies transforms one after the other, all with one generator, as albumentations does."""

    def __init__(self, *transforms: Callable[[Tensor], Tensor], seed: int = 0) -> None:
        self.transforms = transforms
        self.random_generator = np.random.default_rng(seed)
        for transform in transforms:
            transform.random_generator = self.random_generator  # type: ignore[attr-defined]

    def __call__(self, x: Tensor) -> Tensor:
        """The transformed image."""
        for transform in self.transforms:
            x = transform(x)
        return x


def enclosing_transform() -> Callable[[Tensor], Tensor]:
    """A function that encloses its generator: it cannot be pickled, and `copy.deepcopy` returns it as it is."""
    generator = np.random.default_rng(0)

    def scale(x: Tensor) -> Tensor:
        return x * float(generator.random())

    return scale


def scale_by(draw: Callable[[], float], x: Tensor) -> Tensor:
    """An image scaled by a draw."""
    return x * float(draw())


def bound_draw() -> Callable[[Tensor], Tensor]:
    """A transform that knows its generator only through a bound method, which `copy.deepcopy` returns as it is."""
    return functools.partial(scale_by, np.random.default_rng(0).random)


def global_numpy() -> Transformed:
    """A transform that draws from numpy's global generator."""
    return Transformed(lambda x: x * float(np.random.rand()))


def two_processes(_: Path) -> Training:
    """Each process has a copy of the dataset and of its generator."""
    loaders = split(OwnGenerator(torch.Generator().manual_seed(0)), batch_size=4)
    return Training(train=loaders[0], validation=loaders[1], trainer={"devices": 2, "strategy": "ddp_fork"})


def of_the_module(_: Path) -> Training:
    """A transform that uses a generator of the module."""
    global GENERATOR
    GENERATOR = np.random.default_rng(0)
    loaders = split(Transformed(lambda x: x * float(GENERATOR.random())))
    return Training(train=loaders[0], validation=loaders[1], objects=GENERATOR)


def of_the_class(_: Path) -> Training:
    """A generator of the dataset's class."""
    OfTheClass.shared = np.random.default_rng(0)
    loaders = split(OfTheClass(None))
    return Training(train=loaders[0], validation=loaders[1], objects=OfTheClass.shared)


def seed_worker(worker_id: int) -> None:
    """Seeds numpy in a worker, as the documentation of torch recommends."""
    np.random.seed(torch.initial_seed() % 2**32)


def shared(dataset: Callable[[], Images], **options: Any) -> Callable[[Path], Training]:
    """A training on one part of a dataset with validation on the other."""

    def make(_: Path) -> Training:
        loaders = split(dataset(), **options)
        return Training(train=loaders[0], validation=loaders[1])

    return make


#: Options of a loader with workers.
FORKED: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}

SITUATIONS = tuple(
    Situation("dataset", name, make, **options)
    for name, make, options in (
        ("own numpy Generator", shared(lambda: OwnGenerator(np.random.default_rng(0))), {}),
        ("own RandomState", shared(lambda: OwnGenerator(np.random.RandomState(0))), {}),
        ("own random.Random", shared(lambda: OwnGenerator(random.Random(0))), {}),
        ("own torch.Generator", shared(lambda: OwnGenerator(torch.Generator().manual_seed(0))), {}),
        ("generator in a closure", shared(lambda: Transformed(enclosing_transform())), {}),
        ("generator's method in a partial", shared(lambda: Transformed(bound_draw())), {}),
        ("generator of the module", of_the_module, {}),
        ("generator of the class", of_the_class, {}),
        ("transforms with generators", shared(lambda: Transformed(Compose(RandomFlip(), RandomScale(1)))), {}),
        ("batches fetched at once", shared(lambda: Fetching(np.random.default_rng(0))), {}),
        ("own numpy Generator, two workers", shared(lambda: OwnGenerator(np.random.default_rng(0)), **FORKED), {}),
        ("numpy seeded in workers", shared(global_numpy, worker_init_fn=seed_worker, **FORKED), {}),
        (
            "own numpy Generator, probe drawn anew for every observation",
            shared(lambda: OwnGenerator(np.random.default_rng(0))),
            {"lens": {"resample_probe": True}},
        ),
        (
            "own random.Random, observed every 2 steps",
            shared(lambda: OwnGenerator(random.Random(0))),
            {"lens": {"every_n_train_steps": 2}},
        ),
        ("own torch.Generator, two processes", two_processes, {}),
    )
)
