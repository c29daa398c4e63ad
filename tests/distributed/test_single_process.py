"""A run of one process, in which no operation does anything."""

import pytest
import torch

from lightning_factorlens.distributed import PeerError, ProcessGroup, SingleProcess, get_process_group


def test_without_an_initialized_group_there_is_a_single_process():
    assert type(get_process_group(torch.device("cpu"), 1)) is SingleProcess
    assert type(get_process_group(torch.device("cpu"), 2)) is SingleProcess  # torch.distributed is not initialized
    assert not isinstance(SingleProcess(), ProcessGroup)
    with pytest.raises(ValueError, match="unchanged"), SingleProcess().synchronized_errors():
        raise ValueError("unchanged")
    assert not issubclass(PeerError, RuntimeError)  # which callers treat as an error of the model


def test_the_operations_of_a_single_process_are_the_identity():
    group, values = SingleProcess(), torch.arange(3.0)
    assert group.all_reduce_sum(values) is values and group.broadcast(values) is values
    assert group.all_gather(values, [3])[0] is values and group.all_to_all([values], [[3]], [[3]])[0] is values
    assert group.all_reduce_min([1.0, -2.0]) == [1.0, -2.0]
    assert group.broadcast_object(lambda: "made") == "made" and group.all_gather_object("own") == ["own"]
