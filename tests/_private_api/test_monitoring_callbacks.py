"""Attributes of callbacks that monitor exist."""

from datetime import timedelta

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lightning_factorlens._private_api import monitoring_callbacks


def test_attributes_of_callbacks_exist():
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    for flag in (False, True):
        saves = monitoring_callbacks.save_on_train_epoch_end_method(ModelCheckpoint(save_on_train_epoch_end=flag))
        assert saves(trainer) is flag
        assert monitoring_callbacks.checks_on_train_epoch_end(EarlyStopping("x", check_on_train_epoch_end=flag)) is flag
    assert monitoring_callbacks.checks_on_train_epoch_end(EarlyStopping("x")) is None
    assert monitoring_callbacks.save_on_train_epoch_end_method(EarlyStopping("x")) is None
    assert monitoring_callbacks.checks_on_train_epoch_end(ModelCheckpoint()) is True
    assert monitoring_callbacks.saves_by_steps(ModelCheckpoint(every_n_train_steps=3))
    assert monitoring_callbacks.saves_by_steps(ModelCheckpoint(train_time_interval=timedelta(minutes=1)))
    assert not monitoring_callbacks.saves_by_steps(ModelCheckpoint())
    assert not monitoring_callbacks.saves_by_steps(EarlyStopping("x"))
