"""Strategies of Lightning that shard the model: the lens sees it whole, and training is what it is without the lens."""

import multiprocessing

import lightning_sharded
import pytest
import torch
from versions import torch_shards_on_cpu
from worker_processes import run_pair

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning_sharded"])


def run(kind, folder):
    """What each of two processes has found."""
    run_pair(PROCESSES, lightning_sharded.fit, folder, kind)
    return [torch.load(folder / f"end{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize(
    "kind", [pytest.param("ModelParallel", marks=torch_shards_on_cpu), pytest.param("FSDP", marks=pytest.mark.slow)]
)
def test_training_that_shards_the_model_is_observed_and_not_changed(kind, tmp_path):
    ends = run(kind, tmp_path)
    for end in ends:
        for part, expected in (("with", end["without"]), ("resumed", end.get("without, resumed", end["without"]))):
            assert end[part].keys() == expected.keys()
            assert all(torch.equal(end[part][name], value) for name, value in expected.items()), part
        numbers, decision, layers = end["lens"]
        assert repr(numbers) == repr(ends[0]["lens"][0])
        assert repr(numbers[:-1]) == repr(end["resumed lens"][0][:-1])
        assert len(numbers) == 1 + lightning_sharded.EPOCHS
        assert decision.kind == "classes"
        assert layers == lightning_sharded.LAYERS
        assert any(not torch.equal(end["restored"][name], value) for name, value in end["without"].items())
        assert all(torch.equal(end["restored"][name], value) for name, value in end["best"].items())
