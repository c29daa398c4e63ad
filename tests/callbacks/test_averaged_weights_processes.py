"""LabelFreeStopping(restore_best="average") in two processes: the same average in each, which is that of one process."""

import multiprocessing

import averaging_runs
import pytest
import torch
from averaging_runs import LAST
from worker_processes import run_pair

from lightning_factorlens import read_jsonl
from lightning_factorlens.results import HandedOver

pytestmark = pytest.mark.slow
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["averaging_runs"])
SHARES = {epoch: epoch * (epoch + 1) for epoch in range(1, LAST + 1)}


def average(epochs):
    """Epoch s has the weight s (s + 1) of the polynomial average with exponent 2."""
    result = {}
    for name in epochs[LAST]:
        total = sum(share * epochs[epoch][name].double() for epoch, share in SHARES.items())
        result[name] = (total / sum(SHARES.values())).float()
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pair")
    run_pair(PROCESSES, averaging_runs.fit, path)
    return path


@pytest.fixture(scope="module")
def ends(folder):
    return [torch.load(folder / f"end{rank}.pt", weights_only=False) for rank in (0, 1)]


def test_all_processes_end_with_the_average_of_the_first_ones_weights(ends):
    first, second = (end["whole"] for end in ends)
    assert not torch.equal(first["epochs"][LAST]["seen"], second["epochs"][LAST]["seen"])
    for name, expected in average(first["epochs"]).items():
        torch.testing.assert_close(first["weights"][name], expected, rtol=1e-5, atol=1e-7)
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert not torch.equal(first["weights"][name], first["epochs"][LAST][name])
    assert (first["epoch"], first["path"]) == (second["epoch"], second["path"]) == (LAST, first["path"])


def test_a_resumed_run_ends_with_the_average_of_the_whole_one(ends):
    for end in ends:
        assert list(end["resumed"]["epochs"]) == [LAST]
        for name, expected in end["whole"]["weights"].items():
            assert torch.equal(end["resumed"]["weights"][name], expected)


def test_the_average_is_that_of_one_process_on_the_same_batches(ends, tmp_path):
    alone = averaging_runs.train(tmp_path, "alone")
    for name, expected in alone["weights"].items():
        if name != "seen":
            torch.testing.assert_close(ends[0]["whole"]["weights"][name], expected, rtol=1e-4, atol=1e-6)


def test_the_first_process_writes_each_decision_once_and_all_keep_it(folder, ends):
    observations = read_jsonl(folder / "whole.jsonl")
    assert [[d.epoch for d in observation.decisions] for observation in observations] == [[], [1], [2], [3], [4]]
    words = f"restores the average of the weights up to epoch {LAST}, where epoch 2 is the best"
    assert observations[-1].handed_over == (HandedOver("factorlens/stop", "average", LAST, words),)
    for end in ends:
        for kept, written in zip(end["whole"]["history"], observations, strict=True):
            assert repr(kept.decisions) == repr(written.decisions)  # the score of no value is NaN
            assert kept.handed_over == written.handed_over
