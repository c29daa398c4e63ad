"""LabelFreeStopping(restore_best=True) in real processes: two of them, child processes, and killed and resumed runs."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
import restoring_runs
import torch

#: A server that has imported what takes seconds to import; every run is forked from it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["restoring_runs"])
TIMEOUT_SECONDS = 300


def run(folder, strategy="auto", devices=1, kill_in=0):
    """The exit code of a process that trains; it is killed in the epoch ``kill_in``."""
    process = PROCESSES.Process(target=restoring_runs.fit, args=(str(folder), strategy, devices, kill_in))
    process.start()
    process.join(TIMEOUT_SECONDS)
    return process.exitcode


def run_script(folder, strategy, devices, kill_in=0):
    """The same for a program of its own, which Lightning starts again for every further process."""
    command = [sys.executable, restoring_runs.__file__, folder, strategy, str(devices), str(kill_in)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, timeout=TIMEOUT_SECONDS, check=False, env=environment).returncode


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def check_end(folder, ranks=1):
    """Checks the weights of every rank after ``fit``, and what the main process has."""
    best = [torch.load(folder / f"copy{rank}.pt") for rank in range(ranks)]
    for rank in range(ranks):
        assert same(torch.load(folder / f"final{rank}.pt"), best[rank])
        assert not same(torch.load(folder / f"last{rank}.pt"), best[rank])
    end = torch.load(folder / "end0.pt")
    assert same(end["weights"], best[0])
    assert end["epoch"] == 3
    assert end["files"] == [end["path"]]


@pytest.mark.slow
@pytest.mark.parametrize("kill_in", [3, 4])
def test_a_run_that_was_killed_ends_with_the_best_weights_after_it_is_resumed(tmp_path, kill_in):
    assert run(tmp_path, kill_in=kill_in) == -signal.SIGKILL
    assert (tmp_path / "copy0.pt").exists() == (kill_in == 4)  # before the end of the best epoch, or after it
    assert run(tmp_path) == 0
    check_end(tmp_path)


@pytest.mark.slow
def test_the_main_process_has_the_best_weights_of_child_processes_that_were_killed_and_resumed(tmp_path):
    assert run(tmp_path, "ddp_fork", devices=2, kill_in=4) != 0
    assert torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)["epoch"] == 2
    assert run(tmp_path, "ddp_fork", devices=2) == 0
    check_end(tmp_path, ranks=2)


@pytest.mark.slow
def test_the_main_process_has_the_best_weights_of_spawned_processes(tmp_path):
    assert run_script(tmp_path, "ddp_spawn", devices=2) == 0
    check_end(tmp_path, ranks=2)


@pytest.mark.slow
def test_two_processes_end_with_the_best_weights_after_they_were_killed_and_resumed(tmp_path):
    assert run_script(tmp_path, "ddp", devices=2, kill_in=4) == -signal.SIGKILL
    assert run_script(tmp_path, "ddp", devices=2) == 0
    check_end(tmp_path, ranks=2)
