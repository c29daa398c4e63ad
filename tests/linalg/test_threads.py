"""The limit on threads: by amount of work, never above the present number, and always restored."""

import subprocess
import sys

import pytest
import torch

from lightning_factorlens.linalg.threads import PER_THREAD, limit_threads


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("numbers", "limit"), [(0, 1), (PER_THREAD, 1), (2 * PER_THREAD, 2), (100 * PER_THREAD, 4)])
def test_one_thread_is_used_per_16_million_numbers(four_threads, numbers, limit):
    with limit_threads(numbers):
        assert torch.get_num_threads() == limit
    assert torch.get_num_threads() == 4


def test_the_number_of_threads_is_restored_when_the_work_fails(four_threads):
    with pytest.raises(ZeroDivisionError), limit_threads(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 4


def test_an_observation_leaves_the_threads_and_their_sums_unchanged():
    code = """
import torch
from lightning_factorlens import FactorLens
from lightning_factorlens.config import LensOptions
torch.set_num_threads(2)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 3))
a, b = torch.randn(700, 900), torch.randn(900, 800)
before = (a @ b).sum(), a.sum(), torch.get_num_threads()
net[1].register_forward_hook(lambda *_: print(torch.get_num_threads()))
FactorLens(net, LensOptions(ranks=(1, 4))).observe(torch.rand(40, 1, 8, 8))
assert ((a @ b).sum(), a.sum(), torch.get_num_threads()) == before
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(ran.stdout.split()) == {"2"}
