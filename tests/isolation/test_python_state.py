"""What hides in Python is left as found: attributes, containers, helper objects, metrics, generators."""

import array
import collections
import copy
import random
import types
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.aggregation import CatMetric
from torchmetrics.classification import MulticlassAccuracy

from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.isolation.python_state import PythonState
from lightning_factorlens.isolation.saved_objects import SavedArray
from lightning_factorlens.isolation.state_boundary import is_entered


class Average:
    """A helper object that is no module."""

    def __init__(self):
        self.value, self.n = torch.zeros(3), 0

    def update(self, x):
        self.value.lerp_(x.mean(0), 0.5)
        self.n += 1


class Slotted:
    __slots__ = ("last", "n")

    def __init__(self):
        self.n = 0


@dataclass(frozen=True)
class Frozen:
    items: list


class Stateful(nn.Module):
    shared: list = []  # noqa: RUF012 - a list that all objects of the class share
    total = 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.n, self.h, self.outputs, self.memory = 0, torch.zeros(3), [], collections.deque(maxlen=2)
        self.deleted, self.by_key, self.names = "present", {"first": [torch.zeros(2)]}, {"a"}
        self.ordered = collections.OrderedDict(a=1, b=2)
        self.counts, self.groups = collections.Counter(), collections.defaultdict(list)
        self.array, self.objects, self.raw = np.zeros(3), np.array([[], None], dtype=object), bytearray(b"ab")
        self.average, self.slotted, self.frozen = Average(), Slotted(), Frozen([1])
        self.space = types.SimpleNamespace(step=0)
        self.user_dict = collections.UserDict(a=1)
        self.pair = ([], torch.zeros(2))
        self.hidden_module = [nn.BatchNorm1d(3)]  # in a list, so it is not registered
        self.me = [self]

    def forward(self, x):
        self.n += 1
        self.h = self.h + x.mean(0)
        self.outputs.append(x)
        self.memory.append(x)
        del self.deleted
        self.created = x
        self.by_key["first"][0].add_(1)
        self.by_key["second"] = x
        self.names.add("b")
        self.ordered.move_to_end("a")
        self.counts["x"] += 1
        self.groups["x"].append(x)
        self.array += 1
        self.objects[0].append(1)
        self.objects[1] = "changed"
        self.raw.extend(b"c")
        self.average.update(x)
        self.slotted.n, self.slotted.last = 5, x
        self.frozen.items.append(2)
        self.space.step += 1
        self.user_dict["b"] = 2
        self.pair[0].append(x)
        self.pair[1].add_(1)
        self.shared.append(x)
        type(self).total += 1
        self.register_buffer("late", x)
        self.late_module = nn.Linear(3, 3)
        self.linear.bias = None
        self.linear.register_forward_hook(lambda *_: None)
        return self.hidden_module[0].train()(self.linear(x))


def plain(value):
    """The state of a `Stateful` in types that can be compared."""
    model = value
    return repr(
        [
            model.n, model.h, model.outputs, model.memory, model.deleted, model.by_key, sorted(model.names),
            list(model.ordered.items()), model.counts, model.groups, model.array, model.objects, model.raw,
            model.average.value, model.average.n, model.slotted.n, hasattr(model.slotted, "last"), model.frozen,
            model.space, model.user_dict, model.pair, model.shared, model.total, sorted(vars(model)),
            list(model.state_dict()), [name for name, _ in model.named_modules()], len(model.linear._forward_hooks),
            model.hidden_module[0].training, model.hidden_module[0].running_mean,
        ]
    )  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_everything_that_forward_changes_in_python_is_restored(fails, gradients):
    model = Stateful().train()
    before, objects = plain(model), dict(vars(model))
    with suppress(ZeroDivisionError), isolate_model(model, gradients=gradients):
        model(torch.rand(4, 3))
        assert plain_differs(model, before)
        if fails:
            raise ZeroDivisionError
    assert plain(model) == before
    assert all(vars(model)[name] is value for name, value in objects.items())


def plain_differs(model, before):
    model.deleted = ""
    return plain(model) != before


METRICS = {
    "tensor states": lambda: MulticlassAccuracy(3),
    "list states": lambda: CatMetric(),
    "collection": lambda: MetricCollection([MeanMetric(), CatMetric()]),
}


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("used", [False, True])
def test_metrics_of_torchmetrics_that_forward_updates_are_restored(kind, used):
    class Measured(nn.Module):
        def __init__(self):
            super().__init__()
            self.metric = METRICS[kind]()

        def forward(self, x):
            if kind == "tensor states":
                self.metric(x, x.argmax(1))
            else:
                self.metric.update(x)
            return x

    model = Measured()
    if used:
        model(torch.rand(4, 3))
        model.metric.compute()
    expected = copy.deepcopy(model)
    with isolate_model(model):
        model(torch.rand(5, 3))
        model.metric.compute()
    for found, wanted in zip(model.modules(), expected.modules()):
        assert repr(getattr(found, "metric_state", None)) == repr(getattr(wanted, "metric_state", None))
        for name in ("_update_count", "_computed", "_cache", "_forward_cache"):
            assert repr(getattr(found, name, None)) == repr(getattr(wanted, name, None))


GENERATORS = {
    "torch": (lambda: torch.Generator().manual_seed(0), lambda g: torch.rand(2, generator=g).tolist()),
    "numpy": (lambda: np.random.default_rng(0), lambda g: g.random(2).tolist()),
    "bit generator": (lambda: np.random.PCG64(0), lambda g: g.random_raw()),
    "RandomState": (lambda: np.random.RandomState(0), lambda g: g.rand(2).tolist()),
    "Python": (lambda: random.Random(0), lambda g: g.random()),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_of_the_users_draws_the_same_numbers_afterwards(kind):
    make, draw = GENERATORS[kind]
    model, expected = nn.Module(), draw(make())
    model.noise = types.SimpleNamespace(generators=[make()])
    with isolate_model(model):
        draw(model.noise.generators[0])
    assert draw(model.noise.generators[0]) == expected


def test_what_a_hook_keeps_in_its_closure_its_defaults_or_its_object_is_restored():
    kept, count = [], 0

    class Recorder:
        def __init__(self):
            self.seen = []

        def hook(self, *_):
            self.seen.append(1)

    def hook(module, inputs, output):
        nonlocal count
        count += 1
        kept.append(output)

    recorder, by_default, by_argument = Recorder(), [], []
    model = nn.Linear(3, 2)
    model.register_forward_hook(hook)
    model.register_forward_hook(recorder.hook)
    model.register_forward_hook(lambda m, i, o, store=by_default: store.append(o))
    model.register_forward_hook(partial(lambda store, m, i, o: store.append(o), by_argument))
    with isolate_model(model):
        model(torch.rand(4, 3))
        n_kept = len(kept)
    assert n_kept == 1
    assert [kept, count, recorder.seen, by_default, by_argument] == [[], 0, [], [], []]


def test_the_state_ends_at_objects_that_hold_the_run():
    model = nn.Linear(2, 2)
    model.dataset = torch.utils.data.TensorDataset(torch.zeros(2))
    model.dataset.n_reads = 0
    with isolate_model(model):
        model.dataset.n_reads = 1
    assert model.dataset.n_reads == 1
    assert not is_entered(model.dataset)
    assert not is_entered(Average)
    assert is_entered(Average())


def test_an_optimizer_that_the_model_refers_to_is_restored_with_its_state():
    model = nn.Linear(2, 2)
    model.fast = torch.ones(2, requires_grad=True)
    model.optimizer = torch.optim.Adam([model.fast], lr=0.1)
    with isolate_model(model, gradients=True):
        model.fast.sum().backward()
        model.optimizer.step()
        model.optimizer.param_groups[0]["lr"] = 0.5
    assert model.fast.tolist() == [1, 1] and model.fast.grad is None
    assert model.optimizer.param_groups[0]["lr"] == 0.1
    assert not model.optimizer.state


def test_gradients_of_tensors_that_are_no_parameters_of_the_model_are_restored():
    model = nn.Linear(2, 2)
    model.others = [nn.Linear(2, 1), torch.zeros(2, requires_grad=True)]
    model.others[1].grad = torch.ones(2)
    with isolate_model(model, gradients=True):
        (model.others[0](torch.ones(2)) + model.others[1].sum()).sum().backward()
        model.others[0].requires_grad_(False)
    assert model.others[0].weight.grad is None and model.others[0].weight.requires_grad
    assert model.others[1].grad.tolist() == [1, 1]


def test_objects_behind_weak_references_arrays_and_quasi_random_numbers_are_restored():
    model, average = nn.Linear(2, 2), Average()
    model.reference = weakref.ref(average)
    model.by_object = weakref.WeakKeyDictionary({average: 0})
    model.numbers = array.array("d", [1.0])
    model.sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=0)
    model.ragged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with isolate_model(model):
        model.reference().update(torch.ones(4, 3))
        model.by_object[average] = 1
        model.numbers.append(2.0)
        drawn = model.sobol.draw(3)
        model.ragged.mul_(2)
    assert average.n == 0 and not average.value.any()
    assert model.by_object[average] == 0
    assert model.numbers.tolist() == [1]
    assert torch.equal(model.sobol.draw(3), drawn)
    assert [part.tolist() for part in model.ragged.unbind()] == [[1, 1], [1, 1, 1]]


def test_a_read_only_array_is_not_copied_unless_its_base_can_be_written():
    values = np.arange(3)
    view = values[:]
    view.flags.writeable = False
    assert SavedArray(view).copy is not view
    values.flags.writeable = False
    assert SavedArray(view).copy is view


def test_every_part_is_restored_when_one_restoration_fails_and_the_first_error_is_raised():
    model = Stateful()
    model.broken = np.zeros(3)
    state = PythonState(model)
    before = plain(model)
    model(torch.rand(4, 3))
    model.deleted, model.array[:] = "changed", 7
    model.broken += 1
    model.broken.flags.writeable = False  # so that writing to it fails
    failing = [part for part in state._saved if getattr(part, "array", None) is model.broken]
    failing[0].restore = lambda: (_ for _ in ()).throw(OSError("cannot be restored"))
    state._saved.insert(0, state._saved.pop(state._saved.index(failing[0])))
    with pytest.raises(OSError, match="cannot be restored"):
        state.restore()
    assert plain(model) == before


def test_an_object_that_cannot_be_read_does_not_prevent_the_isolation():
    import weakref

    class Gone:
        pass

    model = nn.Linear(2, 2)
    gone = Gone()
    model.proxy, model.count = weakref.proxy(gone), 0
    del gone
    with isolate_model(model):
        model.count += 1
    assert model.count == 0


def test_a_scripted_module_keeps_its_attributes_and_the_flags_of_its_parts():
    class Scripted(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.n, self.seen = nn.BatchNorm1d(3), 0, [1]
            self.h = torch.zeros(3)

        def forward(self, x):
            self.n += 1
            self.seen = [self.n]
            self.h = self.h + x.mean(0)
            return self.norm(x) + self.h

    model = nn.Sequential(torch.jit.script(Scripted()), torch.jit.trace(nn.Linear(3, 3), torch.rand(2, 3))).train()
    model[0].norm.eval()
    model(torch.rand(4, 3))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    hidden = model[0].h.clone()
    with isolate_model(model):
        assert not any(module.training for module in model.modules())
        model(torch.rand(4, 3))
    assert [model[0].training, model[0].norm.training] == [True, False]
    assert [model[0].n, model[0].seen] == [1, [1]]
    assert torch.equal(model[0].h, hidden)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_large_tensors_and_arrays_are_left_out_on_request():
    held = {"small": torch.zeros(4), "large": torch.zeros(1000), "array": np.zeros(1000)}
    state = PythonState(held, max_bytes=100)
    held["small"] += 1
    held["large"] += 1
    held["array"] += 1
    state.restore()
    assert [float(value.sum()) for value in held.values()] == [0, 1000, 1000]
