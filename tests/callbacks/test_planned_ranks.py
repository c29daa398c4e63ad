"""The table of runs has the ranks of a small probe, as far as its size can be known in advance."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from training import Net

from lightning_factorlens import LensOptions
from lightning_factorlens.callbacks._planned_ranks import planned_ranks
from lightning_factorlens.config import DEFAULT_RANKS


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.rand(3, 1, 4, 4))


@pytest.mark.parametrize(
    ("source", "ranks"),
    [
        (torch.rand(5, 1, 4, 4), (1, 2, 4)),
        (DataLoader(TensorDataset(torch.rand(20, 2)), 4), (1, 2, 4, 8, 16)),
        (torch.rand(300, 2), DEFAULT_RANKS),
        (DataLoader(Stream()), DEFAULT_RANKS),
        ({"image": torch.rand(5, 1, 4, 4)}, DEFAULT_RANKS),
    ],
)
def test_default_ranks_follow_the_size_of_the_source(source, ranks):
    assert tuple(planned_ranks(None, source, 256, LensOptions())) == ranks
    assert tuple(planned_ranks(None, source, 256, LensOptions(ranks=(1, 64)))) == (1, 64)


def test_without_a_source_the_validation_loader_that_was_passed_counts():
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    trainer.fit_loop.epoch_loop.val_loop._data_source.instance = Net()
    assert tuple(planned_ranks(trainer, None, 256, LensOptions())) == DEFAULT_RANKS
    trainer.fit_loop.epoch_loop.val_loop._data_source.instance = [DataLoader(TensorDataset(torch.rand(3, 2)))]
    assert tuple(planned_ranks(trainer, None, 256, LensOptions())) == (1, 2)
