"""The weights of a module that is split between two processes, kept and restored."""

import multiprocessing
import os
import socket

import pytest
import sharded_run
import torch

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["sharded_run"])
TIMEOUT_SECONDS = 300


@pytest.mark.parametrize(
    "as_one_file",
    [pytest.param(True, id="one file", marks=pytest.mark.slow), pytest.param(False, id="one file a process")],
)
def test_each_process_gets_back_its_part_of_the_best_weights(tmp_path, as_one_file):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [(str(tmp_path), rank, port, as_one_file) for rank in (0, 1)]
    processes = [PROCESSES.Process(target=sharded_run.fit, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT_SECONDS)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]
    ends = [torch.load(tmp_path / f"end{rank}.pt") for rank in (0, 1)]
    for end in ends:
        assert end["said"] == "restores the weights of epoch 2, the best"
        assert all(torch.equal(end["end"][name], value) for name, value in end["copied"].items())
        assert not any(torch.equal(end["end"][name], value) for name, value in end["last"].items())
        assert end["path"] == ends[0]["path"]
    assert ends[0]["end"]["net.0.weight"].shape == (8, 8)  # half of it
    assert os.listdir(tmp_path / "checkpoints") == [os.path.basename(ends[0]["path"])]
