"""Runs a function in several processes of a gloo process group, and returns what it returned in each of them."""

import os
import socket

import pytest
import torch
import torch.distributed as dist

from lightning_factorlens.distributed import get_process_group

TIMEOUT_SECONDS = 400


def run_in_processes(work, world_size, folder):
    """Calls ``work(process_group)`` in every process; fails the test if the processes do not end.

    Args:
        work: A function at the top level of a module, since the processes import it.
        world_size: Number of processes.
        folder: An empty folder for their results.

    Returns:
        The result of each process, ordered by rank.
    """
    context = torch.multiprocessing.spawn(_main, (world_size, folder, work), nprocs=world_size, join=False)
    for _ in range(TIMEOUT_SECONDS):
        if context.join(timeout=1):
            break
    else:
        for process in context.processes:
            process.kill()
        pytest.fail(f"the processes did not end within {TIMEOUT_SECONDS} seconds")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world_size)]


def run_pair(context, target, folder, *arguments):
    """Calls ``target(folder, rank, port, *arguments)`` in two processes, which must end without an error.

    Args:
        context: From `multiprocessing.get_context`.
        target: A function at the top level of a module, since the processes import it.
        folder: A folder for what they write.
        *arguments: Further arguments.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [context.Process(target=target, args=(str(folder), rank, port, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT_SECONDS)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


def _main(rank, world_size, folder, work):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    result = work(get_process_group(torch.device("cpu"), world_size))
    torch.save(result, f"{folder}/{rank}.pt")
    dist.barrier()
    # Neither `destroy_process_group` nor the interpreter's end: before torch 2.8 both may wait for ever for a thread of
    # gloo that drops a tensor (docs/installation.md).
    os._exit(0)


def error_of(call):
    """The error that a call raises, as text; ``"none"`` if it raises none."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"
