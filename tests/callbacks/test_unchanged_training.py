"""Training is bit for bit what it would have been without the callback."""

import copy

import pytest
import torch
from torch.utils.data import DataLoader
from training import Net, Snapshot, lens, loaders, train

from lightning_factorlens.factorization import MultiplicativeUpdates


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resample_probe": True},
        {"every_n_train_steps": 3},
        {"figures_every_n": 1},
        {"solver": MultiplicativeUpdates(max_iter=5)},
    ],
    ids=lambda o: next(iter(o), "default"),
)
@pytest.mark.parametrize("setup", [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2}], ids=str)
def test_training_is_bit_for_bit_what_it_would_have_been(tmp_path, options, setup):
    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, **setup)
    train(tmp_path / "b", lens(**options), observed, **setup)
    for k, v in alone.weights.items():
        assert torch.equal(v, observed.weights[k]), k
    for k, state in alone.optimizer["state"].items():
        assert all(torch.equal(v, observed.optimizer["state"][k][n]) for n, v in state.items())
    assert torch.equal(alone.random[0], observed.random[0])
    assert alone.random[1:] == observed.random[1:]
    assert alone.user.keys() == observed.user.keys()
    assert all(torch.equal(v, observed.user[k]) for k, v in alone.user.items())


@pytest.mark.parametrize("persistent", [False, True])
def test_loader_workers_are_not_disturbed(tmp_path, persistent):
    def data():
        train_loader, val = loaders()
        return train_loader, DataLoader(val.dataset, 16, num_workers=1, persistent_workers=persistent)

    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, data=data(), epochs=2)
    train(tmp_path / "b", lens(), observed, data=data(), epochs=2)
    assert all(torch.equal(v, observed.weights[k]) for k, v in alone.weights.items())


def test_self_log_in_the_users_forward_does_not_record_the_probe(tmp_path):
    class Logs(Net):
        def forward(self, x):
            y = super().forward(x)
            self.log("mean", y.mean(), on_step=True, on_epoch=True)
            return y

    alone, observed, module = Snapshot(), Snapshot(), Logs()
    train(tmp_path / "a", alone, module=copy.deepcopy(module))
    train(tmp_path / "b", lens(), observed, module=module)
    assert all(torch.equal(v, observed.user[k]) for k, v in alone.user.items())
