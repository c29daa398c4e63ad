"""What measurements return becomes the records of an observation."""

import gc
from weakref import ref

import numpy as np
import pytest
import torch
from small_lens import lens_with, make_net, make_probe
from torch import nn

from lightning_factorlens.measurements import Consistency, Measurement, Scalar
from lightning_factorlens.results import Scalars, ScopedScalar


class Returns(Measurement):
    """Returns what it is given."""

    name = "returns"

    def __init__(self, found):
        self.found = found

    def measure(self, context):
        return self.found


@pytest.mark.parametrize(
    "found",
    [3.0, ("no", "record"), [("a", 1)], {"a": "many"}, {"a": None}, {"a": torch.zeros(2)}, Scalars],
    ids=lambda found: str(found)[:20],
)
def test_what_is_neither_a_record_nor_numbers_is_an_error_that_names_the_measurement(found):
    with pytest.raises(TypeError, match=r"measurements: 'returns' must return a Record, a dictionary of numbers"):
        lens_with(Returns(found)).observe(make_probe())


@pytest.mark.parametrize("number", [1.5, np.float32(1.5), torch.tensor(1.5), torch.tensor([1.5])])
def test_a_dictionary_of_numbers_becomes_scalars(number):
    record = lens_with(Returns({"a": number})).observe(make_probe())["returns"]
    assert record == Scalars({"a": 1.5})
    assert type(record["a"]) is float


def test_a_record_is_kept_and_none_is_left_out():
    record = ScopedScalar("a", {"total": 1.0})
    assert lens_with(Returns(record)).observe(make_probe())["returns"] is record
    observation = lens_with(Returns(None)).observe(make_probe())
    assert list(observation.records) == ["cost"]


class Overwriting(nn.Module):
    """Normalises its input in place, as torchvision's transforms can."""

    def __init__(self):
        super().__init__()
        self.net = make_net()

    def forward(self, batch):
        x = batch["image"] if isinstance(batch, dict) else batch
        return self.net(x.sub_(0.5).div_(0.3))


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"image": x, "id": list(range(len(x)))}])
def test_a_model_that_overwrites_its_input_does_not_change_the_probe(wrap):
    probe = make_probe()
    lens = lens_with(Consistency(), Returns(None), net=Overwriting())
    first = lens.observe(wrap(probe))
    assert torch.equal(probe, make_probe())
    assert lens.observe(wrap(probe)).value("consistency") == first.value("consistency")


class Misspelt(Returns):
    """Declares one quantity and returns another."""

    name = "misspelt"
    scalars = (Scalar("height", "{prefix}/height", "A number."),)


def test_a_quantity_that_is_not_declared_is_an_error_that_lists_the_declared_ones():
    with pytest.raises(ValueError, match=r"'misspelt' returned 'hieght', which none .* declared are 'height'"):
        lens_with(Misspelt({"hieght": 1.0})).observe(make_probe())


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ("context.probe.inputs", lambda context: context.probe.inputs),
        ("context.capture.outputs", lambda context: context.capture.outputs),
        ("the samples of 'relu' in context.capture", lambda context: context.capture.layers[0].samples),
        ("F of rank 2 in context.factorization", lambda context: context.factorization.F[1]),
        ("W of rank 1 and 'input/0' in context.factorization", lambda context: context.factorization.W[0][0]),
    ],
)
def test_a_measurement_that_overwrites_what_others_read_is_an_error(part, read):
    class Overwrites(Measurement):
        name = "overwrites"
        needs = frozenset({"capture", "class_scores", "factorization"})

        def measure(self, context):
            read(context)[:1].zero_()

    with pytest.raises(RuntimeError, match=f"measurements: 'overwrites' has overwritten {part}, which other"):
        lens_with(Overwrites()).observe(make_probe())


def test_no_captured_tensor_outlives_its_observation():
    class Refers(Measurement):
        name = "refers"
        needs = frozenset({"capture", "factorization"})

        def measure(self, context):
            references.extend(ref(block.samples) for block in context.capture.layers)
            references.append(ref(context))

    references = []
    lens = lens_with(Refers())
    gc.disable()  # a reference cycle would wait for it
    try:
        lens.observe(make_probe())
        assert [reference() for reference in references] == [None] * 3
    finally:
        gc.enable()
