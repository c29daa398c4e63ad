"""The probe passes through the Trainer as validation data do, and the Trainer is left as found."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset
from training import Net, lens, train

from lightning_factorlens.callbacks._validation_stage import validation_stage
from lightning_factorlens.measurements import WeightSpectra


def data():
    g = torch.Generator().manual_seed(0)
    sets = [TensorDataset(torch.rand(32, 1, 10, 10, generator=g), torch.randint(0, 3, (32,))) for _ in range(2)]
    return DataLoader(sets[0], 16), DataLoader(sets[1], 16)


class Augments(Net):
    """Augments in training only, as in the examples of Lightning's documentation."""

    def __init__(self):
        super().__init__()
        self.stages = set()

    def on_before_batch_transfer(self, batch, dataloader_idx):
        return (batch[0] + 1, batch[1])

    def on_after_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.training:
            return (torch.zeros_like(batch[0]), batch[1])
        return batch

    def forward(self, x):
        self.stages.add((self.training, self.trainer.training, self.trainer.validating))
        return super().forward(x)


def test_augmentation_guarded_by_trainer_training_is_not_applied(tmp_path):
    loaders = data()
    callback, module = lens(measurements=[WeightSpectra()]), Augments()
    train(tmp_path, callback, module=module, data=loaders, epochs=1, num_sanity_val_steps=0)
    assert torch.equal(callback.probe_batch.inputs, loaders[1].dataset.tensors[0] + 1)
    assert module.stages == {(True, True, False), (False, False, True)}


def test_the_stage_is_restored_after_an_error():
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    for stage in (None, "training"):
        trainer.training = stage == "training"
        before = trainer.state.stage
        with pytest.raises(KeyError), validation_stage(trainer):
            {}[trainer.validating]
        assert trainer.state.stage is before


def test_a_transfer_hook_leaves_no_trace(tmp_path):
    class Writes(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))

        def on_after_batch_transfer(self, batch, dataloader_idx):
            if not self.trainer.training:
                self.mean += batch[0].mean()
                return (batch[0] + torch.rand(()), batch[1])
            return batch

    modules, probes = [], []
    for callbacks in ([], [lens(measurements=[WeightSpectra()])], [lens(measurements=[WeightSpectra()])]):
        _, module = train(tmp_path, *callbacks, module=Writes(), data=data(), epochs=1)
        modules.append(module)
        probes += [callback.probe_batch.inputs for callback in callbacks]
    assert torch.equal(modules[0].mean, modules[1].mean)
    assert torch.equal(probes[0], probes[1])


def test_weights_that_validation_swaps_in_are_said_not_to_be_observed(tmp_path):
    class Swaps(Net):
        def on_validation_model_eval(self):
            super().on_validation_model_eval()

    class ScheduleFree(torch.optim.SGD):
        def train(self):
            pass

        def eval(self):
            pass

    class WithScheduleFree(Net):
        def configure_optimizers(self):
            return ScheduleFree(self.parameters(), lr=0.1)

    for module, name in ((Swaps(), "Swaps.on_validation_model_eval"), (WithScheduleFree(), "`eval` of ScheduleFree")):
        with pytest.warns(UserWarning, match=f"FactorLens does not call .*{name}.*weights that are trained"):
            train(tmp_path, lens(measurements=[WeightSpectra()]), module=module, data=data(), epochs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="FactorLens")
        train(tmp_path, lens(measurements=[WeightSpectra()]), data=data(), epochs=1)
