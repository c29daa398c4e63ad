"""The neurons of a layer that are kept."""

from zlib import crc32

import pytest
import torch

from lightning_factorlens.capture.kept_features import draw_features, read_features
from lightning_factorlens.results import LayerInfo

IMAGES = torch.rand(3, 4, 5, 6)


@pytest.mark.parametrize(
    "rows",
    [
        IMAGES,
        IMAGES.contiguous(memory_format=torch.channels_last),
        IMAGES.transpose(0, 1),
        IMAGES.permute(3, 1, 0, 2)[1:],
        IMAGES[:, 1:, ::2, 1:4],
        IMAGES[:, :1].expand(3, 4, 5, 6),
        IMAGES[0, 0, 0, :1].expand(3, 4),
        IMAGES[:0],
    ],
    ids=lambda rows: f"{tuple(rows.shape)}-{rows.stride()}",
)
def test_the_kept_neurons_are_those_of_the_flattened_rows_in_any_memory_format(rows):
    n_features = rows[0].numel() if len(rows) else 120
    features = torch.randperm(n_features)[: n_features // 2].sort().values
    assert torch.equal(read_features(rows, features), rows.flatten(1)[:, features])


def test_a_draw_is_repeated_whatever_was_done_with_the_last_one():
    layer = LayerInfo("features.1", "ReLU", (4, 5, 6), 0.0, True, "")
    first = draw_features(layer, 50, 0)
    kept = first.clone()
    first.zero_()
    assert torch.equal(draw_features(layer, 50, 0), kept)
    generator = torch.Generator().manual_seed(crc32(b"features.1"))
    assert torch.equal(kept, torch.randperm(120, generator=generator)[:50].sort().values)
    assert not torch.equal(draw_features(layer, 50, 1), kept)
