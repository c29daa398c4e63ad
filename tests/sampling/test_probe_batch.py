"""The probe: fixed samples of any source, drawn without changing a random state."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from lightning_factorlens.batches.batch import find_inputs
from lightning_factorlens.sampling.probe_batch import draw_batches, probe_batch


def probe_images(*arguments, **options):
    """The inputs of a probe without its labels."""
    return find_inputs(probe_batch(*arguments, **options))


def states():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_the_probe_is_drawn_from_the_whole_set_without_changing_a_random_state():
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


def test_a_sampler_that_a_trainer_wrapped_for_several_devices_still_limits_the_probe():
    from lightning.fabric.utilities.distributed import DistributedSamplerWrapper

    x = torch.arange(100.0).view(-1, 1).expand(-1, 4).contiguous()
    wrapped = DistributedSamplerWrapper(SubsetRandomSampler(range(60, 80)), num_replicas=2, rank=0)
    assert probe_images(DataLoader(TensorDataset(x), sampler=wrapped), 50)[:, 0].min() >= 60


def test_the_draw_does_not_seed_the_accelerators(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("an accelerator was seeded"))
    probe_images(torch.rand(40, 1, 8, 8), 8)


def test_random_transforms_of_the_dataset_do_not_change_the_random_states():
    class Augmented(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            return {"image": torch.rand(3, 4, 4) + random.random() + np.random.rand(), "label": i}

    before = states()
    images = probe_images(Augmented(), 10)
    assert images.shape == (10, 3, 4, 4)
    assert states() == before


def test_errors_name_sources_that_hold_no_images():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([torch.rand(3, 4, 4), torch.rand(3, 4, 4)])

    assert probe_images(DataLoader(Stream(), batch_size=2), 4).shape == (2, 3, 4, 4)
    assert probe_images(Stream(), 4).shape == (2, 3, 4, 4)
    with pytest.raises(TypeError, match="probe: found int"):
        probe_images(3, 4)
    with pytest.raises(TypeError, match="no tensor of inputs"):
        find_inputs((torch.arange(3), "text"))
    with pytest.raises(ValueError, match="found a source without samples"):
        probe_images(torch.rand(0, 3, 4, 4), 4)
    assert find_inputs(((torch.rand(2, 3), 1), 2)).shape == (2, 3)
    assert find_inputs({"onehot": torch.rand(2, 9), "picture": torch.rand(2, 3, 4, 4)}).shape == (2, 3, 4, 4)
    assert find_inputs({"target": torch.rand(2, 3, 4, 4), "img": torch.zeros(2, 3, 4, 4)}).sum() == 0


def test_a_batch_is_transferred_after_it_was_collated():
    data = TensorDataset(torch.zeros(6, 2, 2), torch.arange(6))
    images, labels = probe_batch(data, 4, transfer=lambda batch: [batch[0] + 1, batch[1]])
    assert torch.equal(images, torch.ones(4, 2, 2))
    assert len(labels) == 4


def test_several_batches_are_merged_into_one():
    x = torch.arange(300.0).view(-1, 1).expand(-1, 4).contiguous()
    for batch_size in (1, 7, 300):
        images, labels = probe_batch(DataLoader(TensorDataset(x, x[:, 0]), batch_size), 200, seed=1)
        assert torch.equal(images, probe_batch(x, 200, seed=1))
        assert torch.equal(labels, images[:, 0])


def keep_even(samples):
    kept = [row for row, label in samples if label % 2 == 0]
    return torch.stack(kept) if kept else None


def test_batches_that_the_collate_function_drops_are_left_out():
    data = TensorDataset(torch.arange(10.0)[:, None].repeat(1, 3), torch.arange(10))
    drawn = draw_batches(DataLoader(data, batch_size=1, collate_fn=keep_even), size=10)
    assert [batch.data[0, 0].item() for batch in drawn] == [0, 2, 4, 6, 8]


def test_a_collate_function_that_drops_everything_is_named():
    data = TensorDataset(torch.rand(10, 3), torch.ones(10))
    with pytest.raises(ValueError, match="collate function returned None"):
        draw_batches(DataLoader(data, batch_size=2, collate_fn=keep_even), size=10)
