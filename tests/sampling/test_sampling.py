"""Which samples form the probe: those that the sampler covers, chosen without iterating over objects of the user."""

import torch
from torch.utils.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_factorlens.sampling.sampling import (
    MAX_KEYS_WITHOUT_LENGTH,
    Choice,
    first_batches,
    first_keys,
    known_keys,
    max_keys,
    subsample_indices,
    unwrapped_sampler,
)


def test_standard_samplers_are_known_and_own_ones_are_not():
    data = list(range(10))
    assert known_keys(SequentialSampler(data)) == range(10)
    assert known_keys(RandomSampler(data)) == range(10)
    assert known_keys(SequentialSampler(range(4))) == range(4)
    assert known_keys(SubsetRandomSampler([7, 3])) == [7, 3]
    assert known_keys(DistributedSampler(data, num_replicas=2, rank=1)) == range(10)
    assert known_keys([3, 1, 3]) == [1, 3]

    class Own(RandomSampler):
        def __iter__(self):
            raise AssertionError("iterated")

    class Renamed(SubsetRandomSampler):
        pass

    assert known_keys(Own(data)) is None
    assert known_keys(Renamed([2, 1])) == [2, 1]


def test_a_weighted_sampler_keeps_the_state_of_its_generator():
    generator = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler([1.0, 0.0, 1.0, 1.0], 20, generator=generator)
    before = generator.get_state()
    assert known_keys(sampler) == [0, 2, 3]
    assert torch.equal(generator.get_state(), before)


def test_the_sampler_inside_a_trainers_wrapper_is_found():
    from lightning.fabric.utilities.distributed import DistributedSamplerWrapper

    sampler = SubsetRandomSampler([5, 6])
    assert unwrapped_sampler(DistributedSamplerWrapper(sampler, num_replicas=2, rank=0)) is sampler
    assert unwrapped_sampler(sampler) is sampler


def test_samples_are_those_of_subsample_indices_in_batches():
    batches = Choice(10, 3, 4).samples(range(100))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [key for batch in batches for key in batch] == subsample_indices(100, 10, 3).tolist()


def test_batches_of_a_batch_sampler_are_not_mixed_and_the_last_is_shortened():
    buckets = [[i, i + 1, i + 2] for i in range(0, 60, 3)]
    chosen = Choice(10, 0, 128).batches(buckets)
    assert sum(map(len, chosen)) == 10
    assert all(any(set(batch) <= set(bucket) for bucket in buckets) for batch in chosen)
    assert chosen == sorted(chosen)
    assert [len(batch) for batch in Choice(3, 0, 2).batches(buckets)] == [2, 1]


def test_infinite_samplers_are_read_within_bounds():
    class Infinite(Sampler):
        def __iter__(self):
            i = 0
            while True:
                yield i % 5
                i += 1

    class NoLength:
        pass

    assert first_keys(Infinite(), 8) == [0, 1, 2, 3, 4]
    assert sum(map(len, first_batches(BatchSampler(Infinite(), 3, False), 10))) == 12
    assert max_keys([1, 2, 3]) == 3
    assert max_keys(NoLength()) == MAX_KEYS_WITHOUT_LENGTH


def test_keys_need_not_be_numbers():
    assert first_keys(["b", "a", "b"], 5) == ["a", "b"]
    assert first_keys([torch.tensor(2), torch.tensor(1), torch.tensor(2)], 5) == [1, 2]
    assert first_keys([(3, 64), (1, 32)], 5) == [(1, 32), (3, 64)]
    assert first_keys([[3], [1]], 5) == [[3], [1]]
