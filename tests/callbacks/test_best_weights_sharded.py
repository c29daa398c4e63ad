"""The weights of a module that is split between two processes, kept and restored."""

import multiprocessing
import os

import pytest
import sharded_run
import torch
from worker_processes import run_pair

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sharded_run"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "as_one_file",
    [pytest.param(True, id="one file", marks=pytest.mark.slow), pytest.param(False, id="one file a process")],
)
def test_each_process_gets_back_its_part_of_the_best_weights(tmp_path, as_one_file):
    run_pair(PROCESSES, sharded_run.fit, tmp_path, as_one_file)
    ends = [torch.load(tmp_path / f"end{rank}.pt") for rank in (0, 1)]
    for end in ends:
        assert end["said"] == "restores the weights of epoch 2, the best"
        assert all(torch.equal(end["end"][name], value) for name, value in end["copied"].items())
        assert not any(torch.equal(end["end"][name], value) for name, value in end["last"].items())
        assert end["path"] == ends[0]["path"]
    assert ends[0]["end"]["net.0.weight"].shape == (8, 8)  # half of it
    assert os.listdir(tmp_path / "checkpoints") == [os.path.basename(ends[0]["path"])]
