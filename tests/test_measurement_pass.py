"""What measurements return becomes the records of an observation."""

import numpy as np
import pytest
import torch
from small_lens import lens_with, make_probe

from lightning_factorlens.measurements import Measurement
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
