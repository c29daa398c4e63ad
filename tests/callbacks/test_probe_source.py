"""Where the probe comes from."""

import importlib
import os
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from training import Net, lens, loaders, train

from lightning_factorlens.measurements import WeightSpectra


def test_a_given_probe_needs_no_validation_loader(tmp_path):
    for i, probe in enumerate((torch.rand(40, 1, 10, 10), loaders()[1].dataset, loaders()[1])):
        callback = lens(probe=probe)
        train(tmp_path / str(i), callback, data=(loaders()[0],), epochs=1)
        assert len(callback.observation.inputs) == 32


def test_the_users_batch_transfer_hooks_are_applied_to_the_probe(tmp_path):
    class Bytes(Net):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch[0].float() / 255, batch[1]

    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randint(0, 256, (64, 1, 10, 10), generator=g).byte(), torch.randint(0, 3, (64,)))
    callback = lens()
    train(tmp_path, callback, module=Bytes(), data=(DataLoader(data, 16), DataLoader(data, 16)), epochs=1)
    images = callback.observation.inputs
    assert images.is_floating_point()
    assert 0 <= images.min() < 0.1 < 0.9 < images.max() <= 1


def test_validation_loaders_that_lightning_has_not_loaded_yet_are_found(tmp_path):
    train(tmp_path, lens(), num_sanity_val_steps=0, check_val_every_n_epoch=2)
    train(tmp_path, lens(), limit_val_batches=0)


def small_lens(**options):
    return lens(measurements=[WeightSpectra()], **options)


def test_iterables_of_batches_are_read_as_lightning_reads_them(tmp_path):
    dataset = loaders()[1].dataset
    batches = [dataset[i : i + 16] for i in range(0, 64, 16)]

    class Iterable:
        """Iterates and has a length, as loaders of DALI do, and nothing else."""

        def __iter__(self):
            return iter(batches)

        def __len__(self):
            return len(batches)

    for source in (Iterable(), {"first": Iterable(), "second": loaders()[1]}, [Iterable()]):
        callback = small_lens()
        train(tmp_path, callback, data=(loaders()[0], source), epochs=1, module=AnyLoader())
        assert callback.probe_batch.inputs.shape == (32, 1, 10, 10)
    callback = small_lens()  # Lightning takes a list of batches apart, and cannot validate on it
    train(tmp_path, callback, data=(loaders()[0], batches), epochs=1, limit_val_batches=0)
    assert callback.probe_batch.inputs.shape == (32, 1, 10, 10)


class AnyLoader(Net):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self(batch[0])


def test_a_hook_that_makes_the_validation_loader_leaves_no_trace_on_its_module(tmp_path):
    class Counts(LightningDataModule):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def train_dataloader(self):
            return loaders()[0]

        def val_dataloader(self):
            self.calls += 1
            self.split = torch.rand(3)
            return loaders()[1]

    modules = []
    for callbacks in ([], [small_lens()]):
        data = Counts()
        torch.manual_seed(0)
        trainer = Trainer(
            default_root_dir=tmp_path, max_epochs=1, logger=False, callbacks=callbacks, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, accelerator="cpu",
        )  # fmt: skip
        trainer.fit(Net(), datamodule=data)
        modules.append(data)
    assert modules[0].calls == modules[1].calls == 1
    assert torch.equal(modules[0].split, modules[1].split)


class Images(Dataset):
    def __init__(self, transform):
        self.images, self.labels = loaders()[1].dataset.tensors
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = self.transform(image=self.images[i].permute(1, 2, 0).numpy())["image"]
        return torch.from_numpy(image.copy()).permute(2, 0, 1), self.labels[i]


def test_transforms_of_albumentations_that_training_shares_are_left_as_found(tmp_path):
    albumentations = pytest.importorskip("albumentations", reason="albumentations is not installed")
    states = []
    for callbacks in ([], [small_lens()]):
        steps = [albumentations.HorizontalFlip(p=0.5), albumentations.RandomBrightnessContrast(p=1.0)]
        full = Images(albumentations.Compose(steps, seed=1))
        parts = random_split(full, [40, 24], torch.Generator().manual_seed(1))
        _, module = train(tmp_path, *callbacks, data=[DataLoader(part, 8) for part in parts], epochs=2)
        states.append(module.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


class HDF5(Dataset):
    """Opens its file when the first sample is read."""

    def __init__(self, path):
        self.path = path
        self.file = None

    def __len__(self):
        return 64

    def __getitem__(self, i):
        if self.file is None:
            self.file = importlib.import_module("h5py").File(self.path, "r")
        return torch.from_numpy(self.file["x"][i]), int(self.file["y"][i])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_hdf5_file_that_is_opened_lazily_stays_closed(tmp_path, workers):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    images, labels = loaders()[1].dataset.tensors
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = images.numpy(), labels.numpy()
    dataset = HDF5(tmp_path / "data.h5")
    callback = small_lens()
    options = {"num_sanity_val_steps": 0, "limit_val_batches": 0}
    train(tmp_path, callback, data=(loaders()[0], DataLoader(dataset, 16, num_workers=workers)), epochs=1, **options)
    assert dataset.file is None
    assert len(callback.probe_batch) == 32
    open_here = HDF5(tmp_path / "data.h5")
    open_here[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FactorLens reads the probe's samples")
        train(tmp_path, small_lens(), data=(loaders()[0], DataLoader(open_here, 16, num_workers=workers)), epochs=1)
    assert torch.equal(open_here[3][0], images[3])


def test_what_is_read_in_this_process_is_said_once(tmp_path):
    class Handle(Images):
        """Stands for a dataset over a file that works in the process that opened it, and cannot be copied."""

        def __init__(self):
            super().__init__(lambda image: {"image": image})
            self.pid = os.getpid()

        def __getitem__(self, i):
            if os.getpid() != self.pid:
                raise OSError("file of another process")
            return super().__getitem__(i)

        def __reduce__(self):
            raise TypeError("cannot be pickled")

    with pytest.warns(UserWarning, match="FactorLens reads the probe's samples from Handle in the main") as caught:
        train(tmp_path, small_lens(), data=(loaders()[0], DataLoader(Handle(), 16)), epochs=2)
    assert sum("reads the probe" in str(warning.message) for warning in caught) == 1


class OwnState(LightningDataModule):
    """Keeps a generator, a counter and a list, which its hooks change."""

    def __init__(self):
        super().__init__()
        self.rng, self.n_calls, self.calls = np.random.default_rng(0), 0, []
        self.train, self.validation = (loader.dataset for loader in loaders())

    def train_dataloader(self):
        return DataLoader(self.train, 16)

    def val_dataloader(self):
        self.n_calls += 1
        return DataLoader(Subset(self.validation, self.rng.permutation(48).tolist()), 16)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.calls.append(self.n_calls)
        return batch[0] * float(self.rng.random()), batch[1]


@pytest.mark.parametrize("n_sanity", [0, 1])
def test_hooks_of_a_datamodule_leave_it_as_found(n_sanity, tmp_path):
    states = []
    for callback in (Callback(), small_lens()):
        data = OwnState()
        train(tmp_path, callback, data=(data,), num_sanity_val_steps=n_sanity)
        states.append((data.rng.bit_generator.state, data.n_calls, data.calls))
    assert states[0] == states[1]
