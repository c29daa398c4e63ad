import torch

from lightning_factorlens.capture.matching_rows import MatchingRows


def test_samples_are_found_in_any_order_and_memory_format_and_equal_ones_all():
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images[4] = images[1]
    near = images[:1].clone()
    near[0, 2, 7, 7] += 1e-6
    batch = torch.cat([near, images[[3, 1]]]).contiguous(memory_format=torch.channels_last)
    rows, positions = MatchingRows(images).find(batch)
    assert list(zip(rows.tolist(), positions.tolist())) == [(1, 3), (2, 1), (2, 4)]


def test_batches_of_another_shape_or_type_hold_no_samples():
    matching = MatchingRows(torch.zeros(2, 4))
    for batch in (torch.zeros(3, 5), torch.zeros(3, 4, dtype=torch.float64), torch.ones(3, 4)):
        assert len(matching.find(batch)[0]) == 0
