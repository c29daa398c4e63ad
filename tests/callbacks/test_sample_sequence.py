"""Training and validation see the same samples with and without the lens, whatever state the data keep."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from training import lens

from lightning_factorlens.measurements import WeightSpectra
from lightning_factorlens.sampling.forked_reading import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="closures and globals are isolated by forks alone")

GLOBAL = {"generator": random.Random(0), "count": 0}


class ByClass:
    generator = np.random.default_rng(0)


def noise_of_closure():
    generator = np.random.default_rng(1)
    return generator.random


def module_global():
    GLOBAL["count"] += 1
    return GLOBAL["generator"].random() + GLOBAL["count"]


def counter():
    served = []

    def count():
        served.append(1)
        return float(len(served))

    return count


def torch_generator():
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.rand((), generator=generator).item()


#: Kind of state → makes a function that draws a number from it.
TRANSFORMS = {
    "none": lambda: float,
    "numpy Generator": lambda: np.random.default_rng(0).random,
    "RandomState": lambda: np.random.RandomState(0).random_sample,
    "random.Random": lambda: random.Random(0).random,
    "torch.Generator": torch_generator,
    "closure": noise_of_closure,
    "module global": lambda: module_global,
    "class attribute": lambda: lambda: ByClass.generator.random(),
    "counter": counter,
    "global generators": lambda: lambda: random.random() + np.random.rand() + torch.rand(()).item(),
}


class Map(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 24

    def __getitem__(self, i):
        return torch.tensor([float(i), self.transform(), 1.0]), i


class Stream(IterableDataset):
    """An iterable over one shared source: every pass goes on where the last one stopped."""

    def __init__(self, transform):
        self.source = ((torch.tensor([float(i), transform(), 1.0]), i) for i in range(10_000))

    def __iter__(self):
        for _, sample in zip(range(12), self.source):
            yield sample


class OwnSampler(Sampler):
    def __init__(self, length):
        self.generator = random.Random(3)
        self.length = length

    def __len__(self):
        return self.length

    def __iter__(self):
        return iter([self.generator.randrange(self.length) for _ in range(self.length)])


class OwnBatchSampler(OwnSampler):
    def __len__(self):
        return self.length // 4

    def __iter__(self):
        for _ in range(len(self)):
            yield self.generator.sample(range(self.length), 4)


def own_collate():
    generator = np.random.default_rng(2)

    def collate(samples):
        inputs, labels = default_collate(samples)
        return inputs + generator.random(), labels

    return collate


COLLATES = {
    "default": lambda: None,
    "own generator": own_collate,
    "picks": lambda: lambda samples: default_collate(samples[:1]),
}
SAMPLERS = {
    "sequential": lambda data: {"batch_size": 4},
    "random": lambda data: {"batch_size": 4, "shuffle": True},
    "random with a generator": lambda data: {
        "batch_size": 4,
        "sampler": RandomSampler(data, generator=torch.Generator().manual_seed(5)),
    },
    "weighted": lambda data: {"batch_size": 4, "sampler": WeightedRandomSampler([1.0] * len(data), len(data))},
    "own": lambda data: {"batch_size": 4, "sampler": OwnSampler(len(data))},
    "own batches": lambda data: {"batch_sampler": OwnBatchSampler(len(data))},
}


class Records(LightningModule):
    """Records what its steps receive."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        self.seen = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.seen.append(("training", batch[0].tolist(), batch[1].tolist()))
        return nn.functional.cross_entropy(self(batch[0]), batch[1] % 2)

    def validation_step(self, batch, batch_idx):
        self.seen.append(("validation", batch[0].tolist(), batch[1].tolist()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def make_loaders(kind, transform, sampler, collate, workers):
    draw = TRANSFORMS[transform]()
    options = {"collate_fn": COLLATES[collate](), "num_workers": workers}
    if kind == "stream":
        stream = Stream(draw)
        return DataLoader(stream, 4, **options), DataLoader(stream, 4, **options)
    train_part, val_part = random_split(Map(draw), [16, 8], torch.Generator().manual_seed(1))
    return DataLoader(train_part, 4, **options), DataLoader(val_part, **SAMPLERS[sampler](val_part), **options)


def seen_samples(setup, callbacks, sanity):
    GLOBAL.update(generator=random.Random(0), count=0)
    ByClass.generator = np.random.default_rng(0)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    module = Records()
    trainer = Trainer(
        max_epochs=2, logger=False, callbacks=callbacks, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, accelerator="cpu", num_sanity_val_steps=sanity,
    )  # fmt: skip
    trainer.fit(module, *make_loaders(**setup))
    states = [GLOBAL["count"], GLOBAL["generator"].getstate(), ByClass.generator.bit_generator.state]
    return module.seen, states, torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()


def own_lens():
    return lens(ranks=(1, 2), probe_size=8, measurements=[WeightSpectra()], on_error="raise")


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    setup=st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["map", "map", "map", "stream"]),
            "transform": st.sampled_from(sorted(TRANSFORMS)),
            "sampler": st.sampled_from(sorted(SAMPLERS)),
            "collate": st.sampled_from(sorted(COLLATES)),
            "workers": st.sampled_from([0, 0, 0, 0, 1]),
        }
    ),
    sanity=st.sampled_from([0, 2]),
)
def test_the_sequence_of_samples_is_the_same_with_and_without_the_lens(setup, sanity):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        alone = seen_samples(setup, [], sanity)
        observed_by = own_lens()
        observed = seen_samples(setup, [observed_by], sanity)
    assert observed == alone
    assert len(observed_by.history) == 3


@pytest.mark.parametrize("transform", sorted(TRANSFORMS))
def test_every_kind_of_state_is_left_as_found(transform):
    setup = {"kind": "map", "transform": transform, "sampler": "own", "collate": "own generator", "workers": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        alone = seen_samples(copy.copy(setup), [], 0)
        assert seen_samples(setup, [own_lens()], 0) == alone
