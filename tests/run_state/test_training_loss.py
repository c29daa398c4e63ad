"""The mean training loss since the last observation."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from training import Net, lens, train

from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.run_state.training_loss import TrainingLoss


def test_steps_without_a_loss_do_not_count():
    loss = TrainingLoss()
    for outputs in (None, {}, {"loss": None}, {"loss": 3.0}, torch.tensor([]), torch.tensor(2), "skipped"):
        loss.add(outputs)
    assert loss.mean(SingleProcess()) is None
    loss.add(torch.tensor(2.0))
    loss.add({"loss": torch.tensor([3.0, 5.0], requires_grad=True)})
    assert loss.mean(SingleProcess()) == 3.0
    loss.reset()
    assert loss.mean(SingleProcess()) is None


def test_a_checkpoint_between_observations_keeps_the_sums():
    loss, whole = TrainingLoss(), TrainingLoss()
    values = torch.rand(7, generator=torch.Generator().manual_seed(0))
    for value in values[:3]:
        loss.add(value)
    resumed = TrainingLoss.from_state_dict(loss.state_dict())
    for value in values[3:]:
        resumed.add(value)
    for value in values:
        whole.add(value)
    assert resumed.mean(SingleProcess()) == whole.mean(SingleProcess())
    assert TrainingLoss.from_state_dict(None).count == 0


@pytest.mark.parametrize("how", ["by a number", "by a schedule"])
def test_the_loss_is_that_of_the_batches_where_gradients_accumulate(tmp_path, how):
    class Recording(Net):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            losses.append(float(loss.detach()))
            return loss

    class Reading(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            means.append(callback.state.training_loss.mean(SingleProcess()))

    losses, means = [], []
    callback = lens(every_n_epochs=10)
    options = {"accumulate_grad_batches": 3} if how == "by a number" else {}
    schedules = [] if options else [GradientAccumulationScheduler({0: 1, 1: 4})]
    train(tmp_path, callback, Reading(), *schedules, module=Recording(), epochs=2, **options)
    assert means[-1] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
