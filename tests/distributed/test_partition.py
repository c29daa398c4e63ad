"""What the partitions of a single process and of several processes return."""

import pytest
import torch
from worker_processes import run_in_processes

from lightning_factorlens.distributed import Partition, ShardedPartition, SingleProcess, make_partition
from lightning_factorlens.linalg.svd import gram_eigvalsh

N, CHUNK = 10, 8
WIDTHS = (30, 5, 17)


def whole_blocks():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(N, width, generator=generator) for width in WIDTHS]


def work(group):
    """Captures, exchanges and gathers blocks of which every process knows the whole."""
    whole = whole_blocks()
    captured = make_partition(group, [4, 8, N], CHUNK)
    rows = captured.local_samples(torch.arange(N))
    partition = captured.split_features(WIDTHS)
    own = partition.exchange([block[rows] for block in whole])
    norms = [block.double().norm(dim=0) for block in own]
    indices = [torch.tensor([0, 8, 9, 29]), torch.tensor([], dtype=torch.long), torch.tensor([16])]
    factors = [torch.stack([block[0], block[1]], 1) for block in own]
    reordered = partition.join([partition.select_blocks([2, 0]), partition.split_features([40])])
    return {
        "type": type(partition).__name__,
        "counts": partition.feature_counts(own),
        "own": own,
        "local": [partition.local_features(b, block) for b, block in enumerate(whole)],
        "samples": captured.gather_samples(whole[0][rows]),
        "blocks": partition.gather_blocks(range(3), own),
        "norms": partition.gather_features(norms),
        "columns": partition.gather_columns(own, indices),
        "factors": partition.gather_factors(factors),
        "eigenvalues": partition.map_stack(gram_eigvalsh, torch.stack([block @ block.T for block in whole])),
        "sum": partition.all_reduce_sum(sum(block.double().sum() for block in own)),
        "broadcast": partition.broadcast(torch.tensor([group.rank + 7])),
        "reordered": [reordered.local_features(b, block) for b, block in enumerate([whole[2], whole[0]])],
        "reordered counts": reordered.feature_counts([]) if group.world_size > 1 else [17, 30, 40],
    }


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    if request.param == 1:
        return [work(SingleProcess())]
    return run_in_processes(work, request.param, tmp_path_factory.mktemp("partition"))


def test_every_process_gathers_what_one_process_holds(results):
    whole = whole_blocks()
    for result in results:
        assert result["type"] == ("Partition" if len(results) == 1 else "ShardedPartition")
        assert result["counts"] == list(WIDTHS)
        assert torch.equal(result["samples"], whole[0])
        for b, block in enumerate(whole):
            assert torch.equal(result["own"][b], result["local"][b])
            assert torch.equal(result["blocks"][b], block)
            assert torch.equal(result["norms"][b], block.double().norm(dim=0))
            assert torch.equal(result["factors"][b], block[:2].T)
        assert torch.equal(result["columns"][0], whole[0][:, [0, 8, 9, 29]])
        assert result["columns"][1].shape == (N, 0)
        assert torch.equal(result["columns"][2], whole[2][:, 16:])
        assert torch.equal(result["eigenvalues"], gram_eigvalsh(torch.stack([block @ block.T for block in whole])))
        assert result["sum"].item() == pytest.approx(sum(float(block.double().sum()) for block in whole))
        assert result["broadcast"].tolist() == [7]


def test_features_are_divided_at_chunks_and_every_feature_has_one_owner(results):
    for b, block in enumerate(whole_blocks()):
        widths = [result["own"][b].shape[1] for result in results]
        assert torch.equal(torch.cat([result["own"][b] for result in results], 1), block)
        starts = [sum(widths[:rank]) for rank in range(len(widths))]
        assert all(start % CHUNK == 0 or start == block.shape[1] for start in starts)


def test_joined_partitions_keep_the_distribution_of_their_blocks(results):
    for result in results:
        assert torch.equal(result["reordered"][0], result["own"][2])
        assert torch.equal(result["reordered"][1], result["own"][0])
        assert result["reordered counts"] == [17, 30, 40]


def test_a_single_process_copies_nothing():
    partition = make_partition(SingleProcess(), [N])
    assert type(partition) is Partition and not partition.is_sharded
    block = torch.rand(N, 6)
    assert partition.local_samples(block) is block
    assert partition.split_features([6]) is partition.select_blocks([0]) is partition.join([partition]) is partition
    assert partition.exchange([block])[0] is block and partition.gather_blocks([0], [block])[0] is block
    assert partition.local_features(0, block) is block and partition.gather_samples(block) is block
    assert partition.gather_features([block])[0] is block and partition.gather_factors([block])[0] is block


class LastOfThree(SingleProcess):
    rank, world_size = 2, 3


def test_a_process_without_own_samples_captures_one_to_learn_the_shapes():
    partition = make_partition(LastOfThree(), [4, 5])
    assert isinstance(partition, ShardedPartition)
    probe = torch.arange(5)
    lengths = [part.stop - part.start for part in partition.sample_slices]
    assert sum(lengths) == 5 and lengths.count(0) == 1
    own = partition.local_samples(probe)
    expected = probe[partition.sample_slices[2]] if lengths[2] else probe[:1]
    assert torch.equal(own, expected)
