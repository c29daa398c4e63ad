"""Future and scaled learning rates of schedulers in a real Trainer."""

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from scheduled_training import MONITOR, Recorder, Scheduled, lens, stopping
from torch.optim import lr_scheduler as schedules
from training import Net, loaders, train

from lightning_factorlens.stopping import Decision, Patience, Rule


@pytest.mark.parametrize(
    "make",
    [
        lambda o: schedules.LambdaLR(o, lambda e: 0.9**e),
        lambda o: schedules.ExponentialLR(o, 0.9),
        lambda o: schedules.SequentialLR(
            o, [schedules.LinearLR(o, 0.5, total_iters=2), schedules.CosineAnnealingLR(o, 20)], [2]
        ),
    ],
    ids=["lambda", "exponential", "warm-up-cosine"],
)
def test_a_scaled_rate_stays_scaled_under_a_scheduler(tmp_path, make):
    plain, scaled = Recorder(), Recorder()
    train(tmp_path / "a", lens(), plain, epochs=8, module=Scheduled(make))

    class StopAtEpochFour(Rule):
        def start(self):
            return {}

        def step(self, state, value, info):
            return state, Decision(info.epoch == 4, info.epoch, value, "epoch 4")

    stop = stopping(rule=StopAtEpochFour(), mode="lr")
    train(tmp_path / "b", lens(), stop, scaled, epochs=8, module=Scheduled(make))
    assert scaled.rates == pytest.approx([r * (0.1 if i > 3 else 1) for i, r in enumerate(plain.rates)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_grad_batches": 2},
        {"max_epochs": -1, "max_steps": 20},
        {"max_steps": 12, "accumulate_grad_batches": 2},
        {"limit_train_batches": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize(("interval", "frequency"), [("epoch", 1), ("epoch", 2), ("step", 1), ("step", 3)])
def test_the_lowest_future_rate_is_that_of_the_remaining_batches(tmp_path, interval, frequency, options):
    module = Scheduled(lambda o: schedules.CosineAnnealingLR(o, 7), interval, frequency)
    stop, rates, ahead = stopping(rule=Patience(1)), [], []

    class Batches(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            rates.append([])

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates[-1].append(trainer.optimizers[0].param_groups[0]["lr"])

        def on_train_epoch_end(self, trainer, pl_module):
            ahead.append(stop._course.state.min_future_lr)
            assert stop._course.state.lr == rates[-1][-1]

    train(tmp_path, lens(every_n_epochs=99), stop, Batches(), epochs=5, module=module, **options)
    assert len(ahead) >= 5
    last = [epoch[-1] for epoch in rates]
    expected = [min(min(epoch) for epoch in ([now], *rates[e:])) for e, now in enumerate(last, 1)]
    assert [min(now, planned) for now, planned in zip(last, ahead)] == pytest.approx(expected)


@pytest.mark.parametrize("after_validation", [True, False])
def test_a_resumed_run_sees_the_same_future_rates(tmp_path, after_validation):
    def fit(folder, *callbacks, **options):
        stop, seen = stopping(rule=Patience(1)), {}

        class Planned(Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                seen[trainer.current_epoch] = stop._course.state.min_future_lr

        module = Scheduled(lambda o: schedules.CosineAnnealingLR(o, 6))
        arguments = {"max_epochs": 5, "logger": False, "accelerator": "cpu", "enable_progress_bar": False}
        callbacks = [lens(every_n_epochs=99), stop, Planned(), *callbacks]
        trainer = Trainer(**arguments, callbacks=callbacks, default_root_dir=folder, enable_model_summary=False)
        trainer.fit(module, *loaders(), **options)
        return seen

    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=not after_validation)
    whole = fit(tmp_path / "a", keep)
    resumed = fit(tmp_path / "b", ckpt_path=tmp_path / "epoch=1.ckpt")
    assert resumed == pytest.approx({epoch: whole[epoch] for epoch in resumed})


def test_the_rates_of_a_plateau_scheduler_or_of_an_infinite_run_are_unknown(tmp_path):
    for name, module, options in (
        ("a", Net(schedule=MONITOR), {}),
        ("b", Scheduled(lambda o: schedules.StepLR(o, 2)), {"max_epochs": -1, "max_time": {"seconds": 1}}),
        ("c", Net(), {}),
    ):
        stop = stopping(rule=Patience(1))
        train(tmp_path / name, lens(), stop, module=module, **{"epochs": 2, **options})
        assert stop._course.state.min_future_lr is None
        assert stop._course.state.lr > 0


def test_a_scheduler_that_is_none_of_pytorchs_has_unknown_future_rates(tmp_path):
    class Halving:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self):
            for group in self.optimizer.param_groups:
                group["lr"] *= 0.5

        def state_dict(self):
            return {}

        def load_state_dict(self, state_dict):
            pass

    class CustomScheduled(Scheduled):
        def lr_scheduler_step(self, scheduler, metric):
            scheduler.step()

    stop = stopping(rule=Patience(1))
    train(tmp_path, lens(), stop, epochs=2, module=CustomScheduled(Halving))
    assert stop._course.state.min_future_lr is None
    assert stop._course.state.lr == pytest.approx(0.01)
