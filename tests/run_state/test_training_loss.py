"""The mean training loss since the last observation."""

import math
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from torch.utils._python_dispatch import TorchDispatchMode
from training import Net, lens, train

from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.run_state.training_loss import TrainingLoss, checked_training_loss


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


class NeverReads(TorchDispatchMode):
    """Refuses to read a value from a tensor's device, which would make the training wait for it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_losses_that_are_not_finite_are_left_out_and_named_once():
    loss = TrainingLoss()
    with NeverReads():
        for value in torch.tensor([1.0, torch.nan, 2.0, torch.inf, -torch.inf]).unbind():
            loss.add(value)
    assert loss.mean(SingleProcess()) == 1.5
    assert (loss.n_left_out, loss.n_seen) == (3, 5)
    resumed = TrainingLoss.from_state_dict(loss.state_dict())
    assert resumed.mean(SingleProcess()) == 1.5
    with pytest.warns(UserWarning, match="3 of 5 training losses since the last observation were NaN or infinite"):
        loss.reset()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loss.add(torch.tensor(torch.nan))
        assert math.isnan(loss.mean(SingleProcess())), "no loss is finite, which is not the same as no loss"
        loss.reset()
        few = TrainingLoss()
        for value in [torch.tensor(torch.nan), *torch.ones(10)]:
            few.add(value)
        assert few.mean(SingleProcess()) == 1.0
        few.reset()
    assert not caught


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.array(0.5), np.array([0.5]), torch.tensor([[0.5]], requires_grad=True),
              torch.tensor(0.5, dtype=torch.bfloat16)],
)  # fmt: skip
def test_a_training_loss_may_be_any_kind_of_number(value):
    found = checked_training_loss(value)
    assert type(found) is float
    assert found == 0.5
    loss = TrainingLoss()
    loss.record(value)
    assert loss.mean(SingleProcess()) == 0.5


def test_what_is_no_training_loss_is_named():
    for value, error, text in [
        (torch.rand(3), ValueError, r"training_loss: .* found shape \(3,\); pass its mean"),
        (np.zeros((2, 2)), ValueError, r"found shape \(2, 2\)"),
        (-0.1, ValueError, "must be a mean cross-entropy, which is not negative, found -0.1"),
        ("0.5", TypeError, "training_loss: must be a number"),
        ([0.5], TypeError, r"training_loss: must be a number.* found \[0.5\]"),
        (True, TypeError, "training_loss: must be a number"),
        (torch.tensor(True), TypeError, "training_loss: must be a number"),
    ]:
        with pytest.raises(error, match=text):
            checked_training_loss(value)
    assert math.isnan(checked_training_loss(torch.tensor(torch.nan)))
    for value, text in [(None, "found None"), ("x", "found 'x'"), (torch.tensor(1), "found a tensor of torch.int64")]:
        with pytest.raises(TypeError, match=f"loss: .*{text}"):
            TrainingLoss().record(value)
    with pytest.raises(ValueError, match="empty tensor"):
        TrainingLoss().record(torch.tensor([]))


@pytest.mark.parametrize("given", [None, 2.0], ids=["recorded", "given"])
def test_the_mean_is_over_all_processes(given):
    class OneOfTwo(SingleProcess):
        """The second of two processes; the first has one loss of 4.0 and one that is NaN."""

        rank = 1

        def all_reduce_sum(self, tensor):
            return tensor + torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64)

    loss = TrainingLoss()
    loss.record(1.0)
    expected = (4.0 + (1.0 if given is None else given)) / 2
    assert loss.mean(OneOfTwo(), given) == expected
    assert loss.n_left_out == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.reset()  # the first process warns


def test_a_batch_whose_loss_is_not_finite_does_not_cost_the_epoch_its_signal(tmp_path):
    class Skipping(Net):
        """One batch an epoch overflows, and its step changes no weight, as a GradScaler has it."""

        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss * torch.inf if batch_idx == 1 else loss

        def on_after_backward(self):
            for parameter in self.parameters():
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0)

    callback = lens(measurements=[Consistency()], outputs="classes")
    with pytest.warns(UserWarning, match="1 of 4 training losses") as caught:
        train(tmp_path, callback, module=Skipping(), epochs=2)
    assert len([w for w in caught if "training losses" in str(w.message)]) == 1
    gaps = [observation["consistency"]["memorization_gap"] for observation in callback.history]
    assert all(math.isfinite(gap) for gap in gaps[1:])


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
    callback = lens(every_n_epochs=10, measurements=[Consistency()])
    options = {"accumulate_grad_batches": 3} if how == "by a number" else {}
    schedules = [] if options else [GradientAccumulationScheduler({0: 1, 1: 4})]
    train(tmp_path, callback, Reading(), *schedules, module=Recording(), epochs=2, **options)
    assert means[-1] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
