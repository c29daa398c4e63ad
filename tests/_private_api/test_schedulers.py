"""The parts of schedulers exist."""

import torch
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, SequentialLR

from lightning_factorlens._private_api import schedulers


def test_the_parts_of_schedulers_exist():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    parts = [ConstantLR(optimizer), ConstantLR(optimizer)]
    assert list(schedulers.sub_schedulers(ChainedScheduler(parts))) == parts
    assert list(schedulers.sub_schedulers(SequentialLR(optimizer, parts, milestones=[2]))) == parts
    assert list(schedulers.sub_schedulers(parts[0])) == []
