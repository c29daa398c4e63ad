"""A user who logs ``hp_metric`` keeps its column in the table of hyperparameters."""

from functools import wraps

import pytest
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.callbacks._hp_metric import may_log_hp_metric


class Plain(LightningModule):
    def training_step(self, batch, batch_idx):
        self.log("loss", batch.sum())


class Logs(Plain):
    def on_validation_epoch_end(self):
        self.log("hp_metric", 0.5)


class Inherits(Logs):
    pass


class LogsInside(Plain):
    def on_validation_epoch_end(self):
        def report():
            self.log_dict({"val/hp_metric": 0.5, "hp_metric": 0.5})

        report()


def decorator(function):
    @wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


class Decorated(Plain):
    @decorator
    def on_validation_epoch_end(self):
        self.log("hp_metric", 0.5)


class Watching(Callback):
    @staticmethod
    def report(trainer):
        trainer.logger.log_metrics({"hp_metric": 0.5})


def trainer_with(*callbacks):
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=list(callbacks))


@pytest.mark.parametrize("module", [Logs, Inherits, LogsInside, Decorated])
def test_a_module_that_logs_it_is_found(module):
    assert may_log_hp_metric(trainer_with(), module())


def test_a_callback_or_a_datamodule_that_logs_it_is_found():
    assert may_log_hp_metric(trainer_with(Watching()), Plain())
    trainer = trainer_with()
    trainer.datamodule = type("Data", (LightningDataModule,), {"setup": Logs.on_validation_epoch_end})()
    assert may_log_hp_metric(trainer, Plain())


def test_nobody_else_is():
    callbacks = [FactorLensCallback(), LabelFreeStopping(), ModelCheckpoint()]
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=callbacks)
    assert not may_log_hp_metric(trainer, Plain())
