"""Attributes of samplers, loaders and values of a manager exist."""

import multiprocessing
from multiprocessing.managers import BaseProxy

from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import DataLoader, SubsetRandomSampler

from lightning_factorlens._private_api import data_loading


def test_attributes_of_samplers_exist():
    sampler = SubsetRandomSampler(range(4))
    wrapper = DistributedSamplerWrapper(sampler, num_replicas=2, rank=0)
    assert data_loading.wrapped_sampler(wrapper.dataset) is sampler
    assert data_loading.wrapped_sampler([1, 2]) is None


def test_attributes_of_loaders_exist():
    class Own(DataLoader):
        def __iter__(self):
            return iter([])

    class Wrapped(DataLoader):
        def _get_iterator(self):
            return iter([])

    loader = DataLoader([1, 2], num_workers=1)
    assert not data_loading.iterates_by_itself(loader)
    assert data_loading.iterates_by_itself(Own([1]))
    assert data_loading.iterates_by_itself(Wrapped([1]))
    iterator = iter(loader)
    data_loading.shutdown_workers(iterator)
    assert not multiprocessing.active_children()


def test_values_of_a_manager_are_identified_and_their_calls_replaced(monkeypatch):
    monkeypatch.setattr(BaseProxy, "_callmethod", BaseProxy._callmethod)  # restored afterwards
    with multiprocessing.Manager() as manager:
        first, second = manager.list([1]), manager.list([1])
        keys = {data_loading.manager_value_key(value) for value in (first, second, first)}
        assert len(keys) == 2
        data_loading.replace_manager_calls(lambda original: lambda proxy, name, args=(), kwds=None: (name, args))
        assert first.count(3) == ("count", (3,))
