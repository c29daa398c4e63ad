"""The mean training loss since the last observation."""

import torch

from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.training_loss import TrainingLoss


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
