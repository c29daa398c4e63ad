"""Tensors of every layout get their values, memory and shape back, in place, and only where they have changed."""

import math

import pytest
import torch
from torch import nn

from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.isolation.tensor_state import is_restorable

pytestmark = pytest.mark.filterwarnings("ignore:Sparse", "ignore:torch.quantize", "ignore:.*quantized tensor creation")


def holder(tensor):
    model = nn.Module()
    model.register_buffer("part", tensor)
    return model


def sparse(layout):
    return torch.diag(torch.arange(1.0, 5)).to_sparse(layout=layout)


TENSORS = {
    "dense": lambda: torch.arange(4.0),
    "nan": lambda: torch.tensor([math.nan, 1.0, -0.0, 2.0]),
    "complex": lambda: torch.complex(torch.arange(3.0), torch.ones(3)),
    "bfloat16": lambda: torch.arange(3.0).bfloat16(),
    "expanded": lambda: torch.arange(3.0).expand(2, 3),
    "view": lambda: torch.arange(12.0).view(3, 4)[1:, ::2],
    "whole numbers": lambda: torch.arange(5),
    "truth values": lambda: torch.tensor([True, False]),
    "empty": lambda: torch.empty(0, 3),
    "coo": lambda: sparse(torch.sparse_coo),
    "csr": lambda: sparse(torch.sparse_csr),
    "csc": lambda: sparse(torch.sparse_csc),
    "quantised": lambda: torch.quantize_per_tensor(torch.rand(5), 0.1, 3, torch.quint8),
}


def as_numbers(tensor):
    dense = tensor.dequantize() if tensor.is_quantized else tensor.to_dense()
    return (torch.view_as_real(dense) if dense.is_complex() else dense).clone()


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("how", ["values", "replaced", "data", "nothing"])
def test_a_buffer_of_any_kind_is_the_same_object_with_the_same_values(kind, how):
    model = holder(TENSORS[kind]())
    found, numbers, version = model.part, as_numbers(model.part), model.part._version
    other = TENSORS[kind]()
    with isolate_model(model):
        if how == "replaced":
            model.part = other
        elif how == "data":
            model.part.data = torch.ones(7) if kind == "dense" else other
        elif how == "values" and kind in ("csr", "csc"):
            model.part.values().mul_(3)
        elif how == "values" and kind == "coo":
            model.part.mul_(3)
        elif how == "values" and kind not in ("expanded", "quantised"):
            model.part.zero_()
    assert model.part is found
    assert torch.equal(as_numbers(model.part).nan_to_num(-7), numbers.nan_to_num(-7))
    assert model.part._version == version


def test_tied_weights_and_views_of_one_memory_are_restored_together():
    flat = torch.arange(12.0)
    model = nn.Module()
    model.flat, model.head, model.tail = flat, nn.Parameter(flat[:6]), nn.Parameter(flat[4:])
    model.tied = model.head
    with isolate_model(model):
        model.flat.mul_(2)
        model.tied.data.fill_(-1)
        model.tail.add_(1)
    assert flat.tolist() == list(range(12))
    assert model.head.tolist() == list(range(6))
    assert model.tied is model.head
    assert model.head.data_ptr() == flat.data_ptr()


class Writes(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.linear, self.write = nn.Linear(3, 2), write

    def forward(self, x):
        with torch.no_grad():
            self.write(self.linear.weight)
        return self.linear(x)


@pytest.mark.parametrize(
    "write",
    [
        lambda weight: weight.div_(2),
        lambda weight: weight.data.mul_(2),
        lambda weight: setattr(weight, "data", torch.ones(2, 3)),
        lambda weight: weight.detach().numpy().fill(5),
        lambda weight: weight.data.resize_(9, 9).fill_(1),
        lambda weight: weight.untyped_storage().resize_(0),
    ],
    ids=["in place", "data", "new data", "numpy", "resized", "freed"],
)
def test_a_parameter_that_forward_writes_is_restored_bit_for_bit(write):
    model = Writes(write)
    weight, values, address = model.linear.weight, model.linear.weight.detach().clone(), model.linear.weight.data_ptr()
    with isolate_model(model), torch.no_grad():
        write(model.linear.weight)
    assert model.linear.weight is weight
    assert torch.equal(weight, values)
    assert weight.requires_grad
    if write.__code__.co_names[-1] in ("div_", "mul_"):
        assert weight.data_ptr() == address


def test_an_embedding_with_a_maximal_norm_is_not_renormalised():
    model = nn.Embedding(10, 4, max_norm=0.1)
    values = model.weight.detach().clone()
    with isolate_model(model):
        model(torch.arange(10))
        assert not torch.equal(model.weight, values)
    assert torch.equal(model.weight, values)


def test_a_graph_that_has_saved_a_restored_tensor_can_be_differentiated():
    model = Writes(lambda weight: weight.mul_(2))
    loss = model.linear(torch.rand(4, 3, requires_grad=True)).square().sum()
    with isolate_model(model):
        model(torch.rand(4, 3))
    loss.backward()


def test_tensors_without_values_are_left_alone():
    model = nn.Module()
    model.register_buffer("meta", torch.zeros(2, device="meta"))
    model.register_buffer("lazy", nn.UninitializedBuffer())
    lazy = model.lazy
    assert is_restorable(lazy)
    assert not is_restorable(model.meta)
    with isolate_model(model):
        model.meta.add_(1)
        model.lazy.materialize((3,))
    assert nn.parameter.is_lazy(lazy)
    assert model.lazy is lazy


def test_a_lazy_module_that_forward_materialises_is_lazy_again():
    model = nn.Sequential(nn.LazyBatchNorm1d(affine=False), nn.Flatten())
    with isolate_model(model):
        model(torch.rand(4, 3))
        assert type(model[0]) is nn.BatchNorm1d
    assert type(model[0]) is nn.LazyBatchNorm1d
    assert nn.parameter.is_lazy(model[0].running_mean)
    model.train()(torch.rand(4, 5))  # another size than in the isolation
    assert model[0].running_mean.shape == (5,)


def test_a_tensor_subclass_is_restored_by_the_tensors_that_it_wraps():
    from torch.testing._internal.two_tensor import TwoTensor

    model = holder(TwoTensor(torch.zeros(3), torch.ones(3)))
    with isolate_model(model):
        model.part.add_(2)
    assert model.part.a.tolist() == [0, 0, 0]
    assert model.part.b.tolist() == [1, 1, 1]


def test_copies_stay_on_an_accelerator_within_what_training_has_needed(monkeypatch):
    from lightning_factorlens.isolation.tensor_state import has_room

    device = torch.device("cuda", 0)
    for name, n_bytes in {"memory_allocated": 100, "max_memory_allocated": 500, "memory_reserved": 400}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, n_bytes=n_bytes: n_bytes)
    assert has_room(device, 150) and not has_room(device, 151)  # half of the 300 that are reserved and unused
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 100)
    assert not has_room(device, 1)  # no training step has run yet
