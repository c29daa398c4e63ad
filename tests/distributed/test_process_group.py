"""Collective operations in real processes: their results, and one process's failure at any of them."""

import pytest
import torch
from worker_processes import error_of, run_in_processes


def operations(group):
    """Every operation once, on tensors that differ between the processes."""
    p, n = group.rank, group.world_size
    return {
        "all_reduce_sum": lambda: group.all_reduce_sum(torch.tensor([1.0, 10.0**p])).tolist(),
        "all_reduce_min": lambda: group.all_reduce_min([float(p), -float(p), float("nan") if p else 3.0]),
        "broadcast": lambda: group.broadcast(torch.tensor([p + 7])).tolist(),
        "broadcast_object": lambda: group.broadcast_object(lambda: {"from": p}),
        "all_gather_object": lambda: group.all_gather_object(("rank", p)),
        "all_gather": lambda: [t.tolist() for t in group.all_gather(torch.full((p,), float(p)), list(range(n)))],
        "all_gather, very uneven": lambda: [
            t.tolist() for t in group.all_gather(torch.arange(7.0 * p), [7 * q for q in range(n)])
        ],
        "all_gather, empty": lambda: [t.tolist() for t in group.all_gather(torch.zeros(0), [0] * n)],
        "all_to_all": lambda: [
            t.tolist()
            for t in group.all_to_all(
                [torch.full((n * (n - 1) // 2,), float(p)), torch.full((n,), p + 1)],
                [list(range(n)), [1] * n],
                [[p] * n, [1] * n],
            )
        ],
    }


def failures(group):
    """One process fails before each operation in turn; all must be informed and be able to continue."""
    found = {}

    def attempt(operation, failing_rank):
        with group.synchronized_errors():
            group.all_reduce_sum(torch.ones(2))
            if group.rank == failing_rank:
                raise ValueError("oh no")
            operation()
            group.all_reduce_sum(torch.ones(2))

    for name, operation in [*operations(group).items(), ("the end", lambda: None)]:
        for failing_rank in range(group.world_size):
            error = error_of(lambda o=operation, r=failing_rank: attempt(o, r))
            found[name, failing_rank] = (error, group.all_reduce_sum(torch.ones(1)).item())
    return found


def mismatches(group):
    def call_with_different_shapes():
        with group.synchronized_errors():
            group.all_reduce_sum(torch.ones(3 + group.rank))

    def ignore_the_error():
        with group.synchronized_errors():
            if group.rank == 0:
                raise ValueError("oh no")
            error_of(lambda: group.all_reduce_sum(torch.ones(1)))
            error_of(lambda: group.all_reduce_sum(torch.ones(1)))

    return {
        "shapes": error_of(call_with_different_shapes),
        "ignored": error_of(ignore_the_error),
        "after": group.all_reduce_sum(torch.ones(1)).item(),
    }


def work(group):
    return {
        "operations": {name: operation() for name, operation in operations(group).items()},
        "failures": failures(group),
        "mismatches": mismatches(group),
    }


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    return run_in_processes(work, request.param, tmp_path_factory.mktemp("process_group"))


def test_every_operation_returns_what_its_docstring_says(results):
    n = len(results)
    for p, result in enumerate(results):
        assert result["operations"] == {
            "all_reduce_sum": [n, sum(10.0**q for q in range(n))],
            "all_reduce_min": [0.0, 1.0 - n, -torch.inf],
            "broadcast": [7],
            "broadcast_object": {"from": 0},
            "all_gather_object": [("rank", q) for q in range(n)],
            "all_gather": [[float(q)] * q for q in range(n)],
            "all_gather, very uneven": [[float(i) for i in range(7 * q)] for q in range(n)],
            "all_gather, empty": [[]] * n,
            "all_to_all": [[float(q) for q in range(n) for _ in range(p)], [q + 1 for q in range(n)]],
        }


def test_a_failure_of_one_process_is_raised_in_all_and_all_can_continue(results):
    n = len(results)
    for p, result in enumerate(results):
        for (_, failing_rank), (error, after) in result["failures"].items():
            peers_error = f"PeerError: process {failing_rank}: ValueError: oh no"
            assert (error, after) == ("ValueError: oh no" if p == failing_rank else peers_error, n)


def test_processes_that_call_different_operations_all_raise(results):
    for p, result in enumerate(results):
        found = result["mismatches"]
        assert found["shapes"].startswith("PeerError: process 0: called all_reduce_sum(3,) while another process")
        assert found["ignored"].startswith("ValueError" if p == 0 else "PeerError: process 0: ValueError")
        assert found["after"] == len(results)
