"""The comparison of trainings on a CUDA device; the trainings themselves need one."""

import subprocess
import sys

import pytest
import torch

from benchmarks.reporting import subprocess_environment
from benchmarks.safety.gpu import differences


def test_differences_are_named_by_their_paths():
    first = {"weights": {"a": torch.ones(2), "b": torch.zeros(1)}, "scale": 1.0}
    second = {"weights": {"a": torch.ones(2), "b": torch.full((1,), -0.5)}, "scale": 2.0}
    assert differences(first, first) == []
    assert sorted(differences(first, second)) == ["/scale", "/weights/b"]
    assert differences({"a": 1}, {"a": 1, "c": 2}) == [": keys"]
    assert differences(torch.ones(1), torch.ones(1, dtype=torch.float64)) == [""]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_it_says_that_there_is_no_device():
    command = [sys.executable, "-m", "benchmarks.safety.gpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=subprocess_environment())
    assert done.stdout.splitlines()[-1] == "no CUDA device is available"
