"""Observations whose first pass is the user's validation: the same training, the same numbers, fewer passes."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from training import Net, lens, train

from lightning_factorlens.capture import passing_rows, reading_problems
from lightning_factorlens.lens.model_runner import ModelRunner


class ModuleNet(Net):
    """A network without functional activations, which validation calls without the LightningModule's ``forward``."""

    def __init__(self):
        super().__init__()
        parts = [self.conv1, self.norm, self.relu, self.conv2, nn.ReLU(), self.drop, nn.AdaptiveAvgPool2d(1)]
        self.net = nn.Sequential(*parts, nn.Flatten(), self.head)

    def forward(self, x):
        return self.net(x)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))


@pytest.fixture
def passes(monkeypatch):
    """One entry for every pass of the probe that the lens makes."""
    monkeypatch.setattr(reading_problems, "has_compiled_code", lambda: False)  # other tests may have compiled code
    made = []
    original = ModelRunner._recorded_capture

    def count(runner, probe, layers):
        made.append(len(probe))
        return original(runner, probe, layers)

    monkeypatch.setattr(ModelRunner, "_recorded_capture", count)
    return made


def run(path, *callbacks, reuse=None, module=None, **options):
    torch.manual_seed(0)
    callback = lens(reuse_validation=reuse, figures_every_n=0, fit_power_law=False, ranks=(1, 2))
    _, module = train(path, callback, *callbacks, epochs=4, module=(module or ModuleNet)(), logger=False, **options)
    numbers = []
    for observation in callback.history:
        for name, record in observation.records.items():
            if name != "cost":
                numbers += [(name, value.quantity, value.scope, value.value) for value in record.values()]
    weights = torch.cat([value.flatten().float() for value in module.state_dict().values()])
    return callback, repr(numbers), weights


def test_training_and_numbers_are_bit_for_bit_the_same_with_fewer_passes(tmp_path, passes):
    _, expected, weights = run(tmp_path / "own", reuse=False)
    assert len(passes) == 5
    passes.clear()
    callback, numbers, other = run(tmp_path / "reused")
    assert len(passes) == 3  # untrained, the first epoch, and the one that is compared
    assert numbers == expected and torch.equal(weights, other)
    assert callback.state.budget.phases["validation"] > 0
    assert not nn.modules.module._global_forward_hooks


class CountOperations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += 1
        return func(*args, **(kwargs or {}))


def test_a_counter_of_operations_in_the_validation_counts_none_of_the_lens(tmp_path, passes):
    counts = []
    for reuse in (False, None):
        counter = CountOperations()

        class Counted(ModuleNet):
            def validation_step(self, batch, batch_idx, counter=counter):
                with counter:
                    super().validation_step(batch, batch_idx)

        run(tmp_path, reuse=reuse, module=Counted)
        counts.append(counter.n)
    assert counts[0] == counts[1] > 0
    assert len(passes) == 10


class Swapped(Callback):
    """Validates with other weights, and gives the module its own back in a hook of the validation's end."""

    def on_validation_start(self, trainer, pl_module):
        self.bias = pl_module.head.bias.data.clone()
        pl_module.head.bias.data += 1

    def on_validation_end(self, trainer, pl_module):
        pl_module.head.bias.data.copy_(self.bias)


class Hooked(Callback):
    def on_train_start(self, trainer, pl_module):
        pl_module.head.register_forward_hook(lambda *_: None)


CASES = {
    "other weights": {"callbacks": [Swapped()]},
    "hooks of the user": {"callbacks": [Hooked()]},
    "a function": {"module": Net},
    "half of the validation": {"limit_val_batches": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_the_lens_makes_its_own_pass_where_the_validation_is_another(tmp_path, passes, case):
    options = dict(CASES[case])
    callbacks = options.pop("callbacks", [])
    callback, _, _ = run(tmp_path, *callbacks, **options)
    assert len(passes) == callback.state.n_measured == 5


def test_the_last_of_several_validations_of_an_epoch_counts(tmp_path, passes):
    run(tmp_path, val_check_interval=0.5)
    assert len(passes) == 3


def test_a_reading_that_fails_costs_an_own_pass_and_nothing_else(tmp_path, passes, monkeypatch):
    monkeypatch.setattr(passing_rows.PassingRows, "capture", lambda *_: 1 / 0)
    callback, _, _ = run(tmp_path)
    assert len(passes) == callback.state.n_measured == 5
    assert callback.state.n_failed == 0
