"""A model that refuses the samples is reported with their shape and type."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.refused_inputs import describe_refused_inputs


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(8, 3, 8, 8, dtype=torch.uint8), r"\(4, 3, 8, 8\) and type torch\.uint8"),
        (torch.rand(8, 8, 8, 3), r"\(4, 8, 8, 3\) and type torch\.float32"),
    ],
)
def test_observe_says_what_it_has_passed_and_what_is_usual(images, found):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(RuntimeError, match=f"probe: .*{found}.*in torch.float32"):
        FactorLens(model, ranks=(1, 2)).observe(images)


@pytest.mark.parametrize("wrap", [list, lambda images: (images, torch.zeros(8)), lambda images: {"image": images}])
def test_a_batch_that_the_model_does_not_take_is_named(wrap):
    batch = wrap(torch.rand(8, 3, 8, 8))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(
        RuntimeError, match=f"(?s)probe: .* batch of type {type(batch).__name__}: .*as one, without labels"
    ):
        FactorLens(model, ranks=(1, 2)).observe(batch)


def test_a_lack_of_memory_keeps_its_message():
    with (
        pytest.raises(RuntimeError, match="^out of memory$"),
        describe_refused_inputs(nn.Linear(2, 2), Batch.wrap(torch.ones(2, 2))),
    ):
        raise RuntimeError("out of memory")
