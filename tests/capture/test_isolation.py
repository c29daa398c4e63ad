"""A guest leaves no trace: flags, buffers, random states, gradients, hooks."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from lightning_factorlens.capture.batch import find_inputs
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.probe_batch import probe_images


class Careless(nn.Module):
    """Counts its calls in a buffer and draws random numbers, even in eval mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("rebound", torch.zeros(()))
        self.norm, self.frozen = nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()

    def forward(self, x):
        self.calls += 1
        self.rebound = self.rebound + 1
        self.rebound.data.add_(1)
        self.norm.running_var.data.mul_(2)
        random.random()
        np.random.rand()
        return self.frozen(self.norm(x + torch.randn_like(x)))


def states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails):
    model = Careless().train()
    model.frozen.eval()
    before, buffers = states(), {k: v.clone() for k, v in model.state_dict().items()}
    try:
        with isolate_model(model):
            assert not any(m.training for m in model.modules())
            assert not torch.is_grad_enabled()
            model(torch.randn(4, 3))
            model.norm.running_mean.add_(1)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [model.training, model.norm.training, model.frozen.training] == [True, True, False]
    assert torch.is_grad_enabled()
    assert states() == before
    assert all(torch.equal(v, buffers[k]) for k, v in model.state_dict().items())


def test_the_probe_is_drawn_over_the_whole_set_without_touching_any_random_state():
    x = torch.arange(1000.0).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    before = states()
    images = probe_images(TensorDataset(x, torch.zeros(1000)), 100, seed=1)
    assert states() == before
    values = images[:, 0, 0, 0]
    assert len(values.unique()) == 100
    assert values.min() < 50 < 950 < values.max()
    assert torch.equal(images, probe_images(TensorDataset(x, torch.zeros(1000)), 100, seed=1))
    assert not torch.equal(images, probe_images(TensorDataset(x, torch.zeros(1000)), 100, seed=2))
    assert torch.equal(probe_images(x, 100, seed=1), images)


def test_a_loader_is_read_through_its_dataset_and_sampler():
    x = torch.arange(100.0).view(-1, 1).expand(-1, 4).contiguous()
    generator = torch.Generator().manual_seed(7)
    state = generator.get_state()
    shuffled = DataLoader(TensorDataset(x), batch_size=10, shuffle=True, generator=generator)
    assert probe_images(shuffled, 30).shape == (30, 4)
    assert torch.equal(generator.get_state(), state)
    validation = DataLoader(TensorDataset(x), sampler=SubsetRandomSampler(range(60, 80)))
    assert set(probe_images(validation, 50)[:, 0].tolist()) == set(map(float, range(60, 80)))
    batches = DataLoader(TensorDataset(x), batch_sampler=[[7, 8], [9]])
    assert probe_images(batches, 50)[:, 0].tolist() == [7.0, 8.0, 9.0]


def test_a_sampler_that_a_trainer_wrapped_for_many_devices_still_counts():
    from lightning.fabric.utilities.distributed import DistributedSamplerWrapper

    x = torch.arange(100.0).view(-1, 1).expand(-1, 4).contiguous()
    wrapped = DistributedSamplerWrapper(SubsetRandomSampler(range(60, 80)), num_replicas=2, rank=0)
    assert probe_images(DataLoader(TensorDataset(x), sampler=wrapped), 50)[:, 0].min() >= 60


def test_the_draw_leaves_the_accelerators_seed_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("an accelerator was seeded"))
    probe_images(torch.rand(40, 1, 8, 8), 8)


def test_random_transforms_of_the_dataset_stay_inside():
    class Augmented(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            return {"image": torch.rand(3, 4, 4) + random.random() + np.random.rand(), "label": i}

    before = states()
    images = probe_images(Augmented(), 10)
    assert images.shape == (10, 3, 4, 4)
    assert states() == before


def test_sources_that_hold_no_images_are_named():
    class OneShot(IterableDataset):
        def __iter__(self):
            return self

        def __next__(self):
            return torch.rand(3, 4, 4)

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([torch.rand(3, 4, 4), torch.rand(3, 4, 4)])

    for source in (OneShot(), DataLoader(OneShot(), batch_size=2)):
        with pytest.raises(TypeError, match="probe: this IterableDataset is its own iterator"):
            probe_images(source, 4)
    assert probe_images(DataLoader(Stream(), batch_size=2), 4).shape == (2, 3, 4, 4)
    assert probe_images(Stream(), 4).shape == (2, 3, 4, 4)
    with pytest.raises(TypeError, match="probe: found int"):
        probe_images(3, 4)
    with pytest.raises(TypeError, match="no tensor of inputs"):
        find_inputs((torch.arange(3), "text"))
    with pytest.raises(ValueError, match="found no images"):
        probe_images(torch.rand(0, 3, 4, 4), 4)
    assert find_inputs(((torch.rand(2, 3), 1), 2)).shape == (2, 3)
    assert find_inputs({"onehot": torch.rand(2, 9), "picture": torch.rand(2, 3, 4, 4)}).shape == (2, 3, 4, 4)
    assert find_inputs({"target": torch.rand(2, 3, 4, 4), "img": torch.zeros(2, 3, 4, 4)}).sum() == 0
