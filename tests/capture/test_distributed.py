"""Capture by several processes, each of which holds some features of every block."""

import pytest
import torch
from torch import nn
from worker_processes import run_in_processes

from lightning_factorlens.batches.probe import BATCH, Probe
from lightning_factorlens.capture.activations import capture_activations
from lightning_factorlens.capture.distributed import (
    _forward_tasks,
    apply_sign_policies_distributed,
    capture_distributed,
    forward_distributed,
)
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.capture.signs import Rectify, Split, SubtractMin, apply_sign_policy
from lightning_factorlens.distributed import Partition, SingleProcess, make_partition
from lightning_factorlens.results import Block

N = 2 * BATCH + 40


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 16, 5)).eval()


def capture_everything(group):
    """The blocks, whole again, the outputs, those of a shifted copy, and the blocks after two sign policies."""
    model = make_model()
    images = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(1)) - 0.3
    probe = Probe.wrap(images)
    moved = Probe.wrap(images.roll(1, 3))

    def capture(batch, layers):
        return capture_activations(model, model, batch, layers)

    with torch.no_grad():
        layers = select_layers(trace_layers(model, model, images[:4]), ["re:.*"])
        captured, partition = capture_distributed(group, capture, probe, layers)
        shifted = forward_distributed(group, capture, [moved, probe], captured.outputs)
        other_width = forward_distributed(group, capture, [moved], captured.outputs[:, :3])
        policies = {}
        for policy in (Split(), SubtractMin()):
            blocks, own = apply_sign_policies_distributed(
                partition, input_blocks(images), captured.layers, SubtractMin(), policy
            )
            gathered = own.gather_blocks(range(len(blocks)), [block.samples for block in blocks])
            policies[type(policy).__name__] = ([block.name for block in blocks], gathered)
        whole = partition.gather_blocks([0, 1], [block.samples for block in captured.layers])
    return {
        "names": [block.name for block in captured.layers],
        "whole": whole,
        "outputs": captured.outputs,
        "shifted": shifted,
        "other width": other_width,
        "policies": policies,
    }


def held_features(group):
    """How many features of every block each process holds."""
    images = torch.rand(20, 3, 60, 60)
    partition = make_partition(group, [20], chunk_size=1000).split_features([0])
    layers = [Block("a", "activation", torch.rand(20, 0), (1,))]
    blocks, partition = apply_sign_policies_distributed(
        partition, input_blocks(images), layers, SubtractMin(), SubtractMin()
    )
    counts = partition.feature_counts([block.samples for block in blocks])
    return [block.samples.shape[1] for block in blocks[:3]], counts[:3]


def work(group):
    return {"captured": capture_everything(group), "held": held_features(group)}


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    if request.param == 1:
        return [work(SingleProcess())]
    return run_in_processes(work, request.param, tmp_path_factory.mktemp("capture"))


def test_activations_and_outputs_equal_those_of_one_capture_bit_for_bit(results):
    model = make_model()
    images = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(1)) - 0.3
    with torch.no_grad():
        layers = select_layers(trace_layers(model, model, images[:4]), ["re:.*"])
        expected = capture_activations(model, model, images, layers)
        moved = capture_activations(model, model, images.roll(1, 3), ()).outputs
    for result in results:
        found = result["captured"]
        assert found["names"] == [block.name for block in expected.layers]
        for block, samples in zip(expected.layers, found["whole"]):
            assert torch.equal(samples, block.samples)
        assert torch.equal(found["outputs"], expected.outputs)
        assert len(found["shifted"]) == 2
        assert torch.equal(found["shifted"][0], moved)
        assert torch.equal(found["shifted"][1], expected.outputs)


def test_a_copy_whose_outputs_have_another_shape_is_left_out(results):
    for result in results:
        assert result["captured"]["other width"] == []


@pytest.mark.parametrize("policy", [Split(), SubtractMin()], ids=lambda p: type(p).__name__)
def test_sign_policies_give_the_blocks_of_a_single_process(results, policy):
    model = make_model()
    images = torch.rand(N, 1, 6, 6, generator=torch.Generator().manual_seed(1)) - 0.3
    with torch.no_grad():
        layers = select_layers(trace_layers(model, model, images[:4]), ["re:.*"])
        captured = capture_activations(model, model, images, layers).layers
        expected = []
        for block in input_blocks(images):
            expected += apply_sign_policy(block, SubtractMin())
        for block in captured:
            expected += apply_sign_policy(block, policy)
    for result in results:
        names, gathered = result["captured"]["policies"][type(policy).__name__]
        assert names == [block.name for block in expected]
        assert all(torch.equal(samples, block.samples) for samples, block in zip(gathered, expected))


def test_every_process_holds_some_of_the_features(results):
    for b in range(3):
        assert sum(result["held"][0][b] for result in results) == 3600
    assert all(result["held"][1] == [3600, 3600, 3600] for result in results)
    loads = [sum(result["held"][0]) for result in results]
    assert max(loads) - min(loads) <= 1000


def test_a_single_process_captures_the_probe_itself_and_copies_no_block():
    probe = Probe.wrap(torch.rand(5, 1, 6, 6))
    received = []

    def capture(batch, layers):
        received.append(batch)
        return capture_activations(make_model(), make_model(), batch, ())

    _, partition = capture_distributed(SingleProcess(), capture, probe, ())
    assert received[0] is probe and type(partition) is Partition
    block = Block("a", "activation", torch.rand(5, 7), (7,))
    blocks, _ = apply_sign_policies_distributed(partition, [block], [block], Rectify(), Rectify())
    assert all(found.samples is block.samples for found in blocks)


class FirstOfTwo(SingleProcess):
    world_size = 2


@pytest.mark.parametrize("group", [SingleProcess(), FirstOfTwo()])
def test_forward_tasks_cover_every_sample_of_every_copy_once(group):
    tasks = _forward_tasks(group, 2, [BATCH, 2 * BATCH, N])
    rows = [(task.copy, row) for task in tasks for row in range(N)[task.rows]]
    assert rows == [(copy, row) for copy in range(2) for row in range(N)]
    assert all(task.rows.start % BATCH == 0 for task in tasks)
    if group.world_size == 1:
        assert [task.rows for task in tasks] == [slice(0, N)] * 2


class OneOfEight(SingleProcess):
    """A process that is alone in what it does, and captures its own samples."""

    world_size = 8

    def __init__(self, rank):
        self.rank = rank


def test_every_one_of_eight_processes_passes_its_share_of_two_passes():
    model = make_model()
    images = torch.rand(256, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    probe = Probe.wrap(images)
    outputs = []
    with torch.no_grad():
        for rank in range(8):
            partition = make_partition(OneOfEight(rank), probe.unit_ends(8))
            own = partition.local_samples(probe)
            assert [len(batch) for batch in own.batches()] == [32]
            outputs.append(capture_activations(model, model, own, ()).outputs)
        expected = capture_activations(model, model, images, ()).outputs
    torch.testing.assert_close(torch.cat(outputs), expected, rtol=0, atol=1e-5)
