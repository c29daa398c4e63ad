"""What measurements may read, and what they keep from one observation to the next."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from small_lens import lens_with, make_probe, train_a_little

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.measurements import EffectiveRank, Measurement
from lightning_factorlens.run_state import RunState


class Reader(Measurement):
    """Reads attributes of the context."""

    name = "reader"

    def __init__(self, *attributes, needs=()):
        self.attributes = attributes
        self.needs = frozenset(needs)

    def measure(self, context):
        for attribute in self.attributes:
            read(context, attribute)
        return {"n_read": len(self.attributes)}


def read(context, attribute):
    if attribute == "forward":
        return context.forward([context.probe], torch.zeros(len(context.probe), 3))
    return getattr(context, attribute)


NEEDS = {
    "capture": "capture",
    "problem": "factorization",
    "factorization": "factorization",
    "block_groups": "factorization",
    "curves": "factorization",
    "forward": "forward",
}


@pytest.mark.parametrize(("attribute", "need"), NEEDS.items())
def test_reading_what_is_not_declared_names_the_need_to_add(attribute, need):
    lens = lens_with(Reader(attribute))
    with pytest.raises(RuntimeError, match=rf"measurement 'reader' reads .*add '{need}' to its `needs`"):
        lens.observe(make_probe())


@pytest.mark.parametrize(("attribute", "need"), NEEDS.items())
def test_reading_what_is_declared_works(attribute, need):
    assert lens_with(Reader(attribute, needs=[need])).observe(make_probe())["reader"]["n_read"] == 1


def test_another_measurements_needs_do_not_count():
    """Else a measurement would fail as soon as the other one is left out of the list."""
    for others in ([EffectiveRank()], []):
        with pytest.raises(RuntimeError, match="'reader' reads .*add 'factorization'"):
            lens_with(*others, Reader("factorization")).observe(make_probe())


def test_everybody_reads_the_model_the_probe_and_the_options():
    found = []

    class Reads(Measurement):
        name = "reads"

        def measure(self, context):
            found.append((context.model, context.probe.inputs, context.options, context.epoch, context.step))

    lens, probe = lens_with(Reads()), make_probe()
    observation = lens.observe(probe, epoch=2, step=30)
    (model, inputs, options, epoch, step) = found[0]
    assert model is lens.model
    assert torch.equal(inputs, probe)
    assert options is lens.options
    assert (epoch, step) == (2, 30)
    assert "reads" not in observation


class Counter(Measurement):
    """Counts observations; keeps the count unless it is told to skip."""

    def __init__(self, name, step=1):
        self.name = name
        self.step = step
        self.keeps = True
        self.fails = False

    def measure(self, context):
        before = context.state
        count = self.step if before is None else before["count"] + self.step
        if self.keeps:
            context.keep_state({"count": count, "tensor": torch.full((2,), float(count))})
        if self.fails:
            raise RuntimeError("broken")
        return {f"{self.name}_count": count}


def counts(lens, *names):
    observation = lens.observe(make_probe())
    return tuple(observation[name][f"{name}_count"] for name in names)


def test_every_measurement_has_a_state_of_its_own():
    lens = lens_with(Counter("a"), Counter("b", step=10))
    assert [counts(lens, "a", "b") for _ in range(3)] == [(1, 10), (2, 20), (3, 30)]


def test_a_state_that_is_not_kept_again_is_dropped():
    a, b = Counter("a"), Counter("b")
    lens = lens_with(a, b)
    counts(lens, "a", "b")
    a.keeps = False
    assert counts(lens, "a", "b") == (2, 2)
    assert counts(lens, "a", "b") == (1, 3)
    assert set(lens.state.warm_start.states) == {"b"}


def test_a_failed_observation_leaves_all_states_unchanged():
    a, b = Counter("a"), Counter("b")
    lens = lens_with(a, b)
    counts(lens, "a", "b")
    b.fails = True
    with pytest.raises(RuntimeError, match="broken"):
        lens.observe(make_probe())
    assert lens.state.n_measured == 1
    b.fails = False
    assert counts(lens, "a", "b") == (2, 2)


def test_measure_changes_no_state():
    lens = lens_with(Counter("a"))
    counts(lens, "a")
    before = lens.state.warm_start
    lens.measure(make_probe())
    assert lens.state.warm_start is before
    assert counts(lens, "a") == (2,)


def test_states_survive_a_checkpoint(tmp_path):
    lens = lens_with(Counter("a"))
    counts(lens, "a")
    counts(lens, "a")
    torch.save(lens.state.state_dict(), tmp_path / "state.pt")
    resumed = lens_with(Counter("a"))
    resumed.state = RunState(OverheadBudget()).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert counts(resumed, "a") == (3,)


def test_reset_drops_all_states():
    lens = lens_with(Counter("a"))
    counts(lens, "a")
    lens.reset()
    assert counts(lens, "a") == (1,)


def test_notes_are_those_of_the_observation():
    class Notes(Measurement):
        name = "notes"

        def measure(self, context):
            context.note(f"epoch {context.epoch} is special")

    lens = lens_with(Notes())
    assert lens.observe(make_probe(), epoch=1).notes == ("epoch 1 is special",)
    assert lens.observe(make_probe(), epoch=2).notes == ("epoch 2 is special",)


def test_the_cache_lasts_as_long_as_the_lens():
    class Cached(Measurement):
        name = "cached"

        def measure(self, context):
            context.cache[self.name] = context.cache.get(self.name, 0) + 1
            return {"n_cached": context.cache[self.name]}

    lens = lens_with(Cached())
    assert [lens.observe(make_probe())["cached"]["n_cached"] for _ in range(2)] == [1, 2]
    assert "cached" not in lens.state.state_dict()["warm_start"]["states"]


class Keeper(Measurement):
    """Keeps what a function of the context and the last state gives."""

    name = "keeper"

    def __init__(self, state):
        self.state = state
        self.found = []

    def measure(self, context):
        self.found.append(context.state)
        context.keep_state(self.state(context))


def test_a_state_that_is_changed_in_place_does_not_survive_a_failed_observation():
    def count_on(context):
        state = context.state or {"counts": [0], "tensor": torch.zeros(1)}
        state["counts"].append(1)
        state["tensor"] += 1
        return state

    keeper, other = Keeper(count_on), Counter("other")
    lens = lens_with(keeper, other)
    counts(lens, "other")
    other.fails = True
    with pytest.raises(RuntimeError, match="broken"):
        lens.observe(make_probe())
    other.fails = False
    counts(lens, "other")
    state = lens.state.warm_start.states["keeper"]
    assert state == {"counts": [0, 1, 1], "tensor": torch.full((1,), 2.0)}


def test_a_kept_weight_does_not_follow_the_training():
    """On the CPU, `detach` and `cpu` share the memory of the weight."""
    keeper = Keeper(lambda context: context.model.conv.weight)
    lens = lens_with(keeper)
    lens.state.record(*lens.measure(make_probe()))
    before = lens.model.conv.weight.detach().clone()
    train_a_little(lens.model, seed=0)
    lens.observe(make_probe())
    assert torch.equal(keeper.found[1], before)
    assert not keeper.found[1].requires_grad


def test_a_state_is_kept_in_types_that_checkpoints_give_back(tmp_path):
    state = {
        "number": np.float64(1.5),
        "count": np.int64(2),
        "pair": (1, (torch.ones(2), None, True)),
        "named": torch.max(torch.eye(2), 0),
        1: OrderedDict(a="text"),
    }
    lens = lens_with(Keeper(lambda _: state))
    lens.observe(make_probe())
    torch.save(lens.state.state_dict(), tmp_path / "state.pt")
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["warm_start"]["states"]["keeper"]
    assert (kept["number"], kept["count"], kept[1]) == (1.5, 2, {"a": "text"})
    assert kept["pair"][1][1:] == (None, True)
    assert torch.equal(kept["named"][0], torch.ones(2))


@pytest.mark.parametrize("state", [np.ones(2), {1, 2}, [object()], {"a": {"b": torch.nn.Linear(1, 1)}}])
def test_a_state_that_no_checkpoint_gives_back_is_refused(state):
    with pytest.raises(TypeError, match=r"keep_state: found .* of type .*; keep tensors, numbers and text"):
        lens_with(Keeper(lambda _: state)).observe(make_probe())
