"""Attributes of the Trainer and its modules exist."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.demos.boring_classes import BoringModel

from lightning_factorlens._private_api.trainer import (
    add_batches_that_stepped,
    batches_that_stepped,
    before_batch_transfer,
    callback_metrics_store,
    trains_in_child_processes,
    validation_data_source,
)


def test_attributes_of_the_trainer_exist():
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    assert batches_that_stepped(trainer) == 0
    add_batches_that_stepped(trainer, 3)
    assert batches_that_stepped(trainer) == 3
    source = validation_data_source(trainer)
    assert callable(source.is_defined)
    assert callable(source.dataloader)
    callback_metrics_store(trainer)["a"] = torch.tensor(1.0)
    assert trainer.callback_metrics == {"a": torch.tensor(1.0)}


def test_strategies_that_train_in_child_processes_are_told_from_others():
    def trainer(strategy):
        return Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu", devices=2,
            strategy=strategy,
        )  # fmt: skip

    for strategy in ("ddp_spawn", "ddp_fork", "ddp_notebook"):
        assert trains_in_child_processes(trainer(strategy))
    assert not trains_in_child_processes(trainer("ddp"))
    single = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)
    assert not trains_in_child_processes(single)


def test_the_validation_data_source_is_that_of_a_running_fit(tmp_path):
    found = []

    class Ask(LearningRateMonitor):
        def setup(self, trainer, pl_module, stage):
            source = validation_data_source(trainer)
            found.append((source.is_defined(), source.dataloader()))

    trainer = Trainer(
        default_root_dir=tmp_path, fast_dev_run=True, accelerator="cpu", callbacks=[Ask()], enable_progress_bar=False
    )
    trainer.fit(BoringModel())
    assert found[0][0]
    assert len(found[0][1]) == 64
    assert batches_that_stepped(trainer) == 1


def test_the_hook_before_a_batch_is_transferred_is_called():
    class Doubles(BoringModel):
        def on_before_batch_transfer(self, batch, dataloader_idx):
            return 2 * batch

    class Ask(LearningRateMonitor):
        def on_train_start(self, trainer, pl_module):
            assert before_batch_transfer(pl_module, 4) == 8

    trainer = Trainer(logger=False, fast_dev_run=True, accelerator="cpu", callbacks=[Ask()], enable_progress_bar=False)
    trainer.fit(Doubles())
