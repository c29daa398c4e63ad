"""Containers of a collated batch are kept, named tuples too."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import torch

from lightning_factorlens.batches.find_inputs import find_inputs
from lightning_factorlens.batches.tree import tree_leaves, tree_map


def test_tree_map_keeps_the_containers():
    Point = namedtuple("Point", ["x", "y"])
    batch = OrderedDict(a=Point(torch.ones(2), (3, [torch.ones(1)])), names=["u", "v"], empty=[])
    found = tree_map(lambda part: len(part) if isinstance(part, list) else part * 2, batch)
    assert type(found) is OrderedDict
    assert type(found["a"]) is Point
    assert torch.equal(found["a"].x, torch.full((2,), 2.0))
    assert found["a"].y[0] == 6
    assert torch.equal(found["a"].y[1][0], torch.full((1,), 2.0))
    assert found["names"] == 2
    assert found["empty"] == 0


def test_tensors_under_names_of_inputs_come_first():
    label, image, extra = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    assert list(tree_leaves({"label": label, "extra": [extra, "text"], "image": image})) == [image, label, extra]


@dataclass(frozen=True)
class Pair:
    image: torch.Tensor
    label: torch.Tensor


def test_a_dataclass_is_a_container():
    pair = Pair(torch.ones(4, 3), torch.zeros(4))
    assert [tuple(leaf.shape) for leaf in tree_leaves([pair])] == [(4, 3), (4,)]
    doubled = tree_map(lambda part: part * 2, pair)
    assert float(doubled.image.sum()) == 24 and float(pair.image.sum()) == 12
    assert find_inputs(pair) is pair.image
