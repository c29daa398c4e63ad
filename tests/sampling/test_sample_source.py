"""A list of samples is a dataset, and a list of parts is a batch."""

import pytest
import torch

from lightning_factorlens.sampling.sample_source import probe_of

IMAGES = torch.rand(6, 1, 4, 4)


@pytest.mark.parametrize(
    "samples",
    [[(image, 1) for image in IMAGES], [{"image": image, "label": 1} for image in IMAGES]],
    ids=["pairs", "dictionaries"],
)
def test_a_list_of_samples_with_labels_is_drawn_from(samples):
    probe = probe_of(samples, size=4)
    assert probe.inputs.shape == (4, 1, 4, 4)
    assert all(any(torch.equal(row, image) for image in IMAGES) for row in probe.inputs)


def test_a_list_of_parts_stays_a_batch():
    assert len(probe_of([IMAGES, torch.zeros(6, dtype=torch.long)], size=4)) == 6
    assert len(probe_of([torch.rand(3, 5, 5), torch.rand(3, 4, 4)], size=1)) == 2
