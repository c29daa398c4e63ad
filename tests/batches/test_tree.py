"""Containers of a collated batch are kept, named tuples too."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from lightning_factorlens.batches.find_inputs import find_inputs
from lightning_factorlens.batches.sample_rows import describe_rows
from lightning_factorlens.batches.tree import replace_tensors, tree_leaves, tree_map


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


class Nodes(SimpleNamespace):
    """Stands for a batch of graphs, or for the nodes of one type."""

    def to(self, device):
        return self


def test_objects_hold_inputs_under_x_or_pos_or_in_the_nodes_of_a_type():
    pos, x = torch.rand(5, 3), torch.rand(5, 2)
    index = torch.tensor([0, 0, 1, 1, 1])
    typed = Nodes(node_stores=[Nodes(z=torch.zeros(5)), Nodes(x=x, batch=index)], num_graphs=2)
    assert find_inputs(Nodes(pos=pos)) is pos
    assert find_inputs(Nodes(pos=pos, x=x)) is x
    assert find_inputs(typed) is x
    assert describe_rows(typed, x, 2).row_index is index
    changed, n_replaced = replace_tensors([Nodes(pos=pos), 1], {id(pos): pos + 1})
    assert n_replaced == 1 and torch.equal(changed[0].pos, pos + 1)


def test_an_object_without_inputs_is_moved_with_the_batch():
    images, targets = torch.rand(4, 3), Nodes(boxes=torch.zeros(4))
    batch = describe_rows([images, targets], images, 4).to(torch.device("cpu"))
    assert torch.equal(batch.inputs, images)


@pytest.mark.parametrize("make", [torch.Tensor.to_sparse, lambda rows: torch.nested.nested_tensor(list(rows))])
def test_sparse_and_nested_inputs_are_refused_by_name(make):
    with pytest.raises(TypeError, match="nested tensor as inputs|layout torch.sparse_coo as inputs"):
        find_inputs((make(torch.ones(4, 3)), torch.zeros(4)))
