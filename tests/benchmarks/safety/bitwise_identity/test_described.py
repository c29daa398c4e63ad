import copy
import functools
import itertools
import random
from collections import deque

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.safety.bitwise_identity.compare import differences
from benchmarks.safety.bitwise_identity.described import describe, digest, own_attributes


class Holder:
    """An object with attributes, one of which is the object itself."""

    def __init__(self, **attributes):
        self.myself = self
        vars(self).update(attributes)


def enclosing(generator):
    return lambda: generator.random()


def stream():
    yield 0
    yield 1


def lru_cached():
    return functools.lru_cache(lambda i: i)


OBJECTS = {
    "numpy Generator": (lambda: np.random.default_rng(0), lambda g: g.random()),
    "RandomState": (lambda: np.random.RandomState(0), lambda g: g.random_sample()),
    "random.Random": (lambda: random.Random(0), lambda g: g.random()),
    "torch.Generator": (lambda: torch.Generator().manual_seed(0), lambda g: torch.rand((), generator=g)),
    "closure": (lambda: enclosing(np.random.default_rng(0)), lambda f: f()),
    "partial": (lambda: functools.partial(np.random.default_rng(0).random), lambda f: f()),
    "bound method": (lambda: random.Random(0).random, lambda f: f()),
    "lru_cache": (lru_cached, lambda f: f(1)),
    "Python generator": (stream, next),
    "itertools.count": (itertools.count, next),
    "list iterator": (lambda: iter([1, 2, 3]), next),
    "queue": (lambda: deque([1, 2]), lambda q: q.append(3)),
    "nested": (lambda: Holder(a={"b": [Holder(n=1)]}), lambda h: setattr(h.a["b"][0], "n", 2)),
    "tensor": (lambda: Holder(x=torch.zeros(2)), lambda h: h.x.add_(1)),
    "sparse": (lambda: Holder(x=torch.eye(2).to_sparse()), lambda h: setattr(h, "x", h.x * 2)),
    "set": (lambda: {1, 2}, lambda s: s.add(3)),
    "loader": (lambda: DataLoader(Holder(n=1)), lambda loader: setattr(loader.dataset, "n", 2)),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_description_tells_a_used_object_from_a_fresh_one(name):
    make, use = OBJECTS[name]
    value = make()
    before = describe(value)
    assert list(differences(before, describe(make()))) == []
    use(value)
    assert list(differences(before, describe(value))) != []
    assert digest(value) != digest(make())


def test_the_position_in_an_open_file_is_described(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"some bytes")
    with path.open("rb") as file:
        before = describe(file)
        file.read(3)
        assert describe(file) != before


def test_a_description_does_not_change_with_the_object():
    held = Holder(x=torch.zeros(2), y=np.zeros(2), z=[1])
    before = describe(held)
    held.x += 1
    held.y += 1
    held.z.append(2)
    assert len(list(differences(before, describe(held)))) == 3


def test_the_digest_of_a_batch_depends_on_every_bit_and_on_the_structure():
    x, y = torch.rand(4, 3), torch.arange(4)
    batches = [(x, y), (x, y.int()), (x.view(3, 4), y), ([x], y), {"x": x, "y": y}, (x, y, "name"), (x.double(), y)]
    nearly = x.clone()
    nearly.view(torch.int32)[0, 0] ^= 1
    assert len({digest(batch) for batch in [*batches, (nearly, y)]}) == len(batches) + 1
    assert digest((x, y)) == digest(copy.deepcopy((x, y)))
    assert digest(torch.zeros(2)) != digest(-torch.zeros(2))


def test_own_attributes_are_those_of_the_user():
    module = LightningModule()
    module.layer, module.weight = nn.Linear(1, 1), nn.Parameter(torch.zeros(1))
    module.register_buffer("buffer", torch.zeros(1))
    module.hidden, module._memory = torch.zeros(1), []
    assert set(own_attributes(module)) == {"hidden", "_memory"}


def test_modules_and_trainers_in_objects_are_named_only():
    assert describe([nn.Linear(1, 1)]) == ["Linear"]
    assert describe(Holder(net=nn.ReLU()))["net"] == "ReLU"


def test_a_description_consumes_no_iterator():
    iterators = [itertools.count(), stream(), iter([0])]
    describe(iterators)
    assert [next(iterator) for iterator in iterators] == [0, 0, 0]
