"""Where the probe comes from."""

import torch
from torch.utils.data import DataLoader, TensorDataset
from training import Net, lens, loaders, train


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
