import pytest
import torch

from lightning_factorlens.hierarchy import exemplary_images
from lightning_factorlens.results import Signals


def signals_of(values, **extrema):
    r = values.shape[1]
    return Signals("fc", values, torch.ones(r), torch.zeros(r, dtype=torch.int64), **extrema)


def full_sort(values, count, descending):
    """Position of the rows of each column by value, then by position."""
    columns = []
    for column in values.T.tolist():
        rows = sorted(range(len(column)), key=lambda row: (-column[row] if descending else column[row], row))
        columns.append(rows[:count])
    return columns


@pytest.mark.parametrize("count", [1, 4, 100])
def test_streaming_gives_the_full_sort_with_ties_by_position(count):
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-3, 4, (40, 5), generator=generator).float()
    for size in (1, 7, 40):
        parts = [signals_of(part) for part in values.split(size)]
        found = exemplary_images(iter(parts), count)
        assert found.positive.tolist() == full_sort(values, count, True)
        assert found.negative.tolist() == full_sort(values, count, False)
        assert torch.equal(found.positive_values, values.T.gather(1, found.positive))
        assert torch.equal(found.negative_values, values.T.gather(1, found.negative))


def test_the_sides_can_be_sorted_by_the_extrema():
    maxima, minima = torch.tensor([[1.0], [5.0], [2.0]]), torch.tensor([[-4.0], [0.0], [-1.0]])
    found = exemplary_images(signals_of(torch.zeros(3, 1), maxima=maxima, minima=minima), 2, by="extremum")
    assert (found.positive.tolist(), found.negative.tolist()) == ([[1, 2]], [[0, 2]])


def test_nan_comes_last_and_parts_must_belong_together():
    found = exemplary_images(signals_of(torch.tensor([[float("nan")], [1.0], [-1.0]])), 3)
    assert found.positive[0].tolist() == [1, 2, 0]
    assert found.negative[0].tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="extrema=True"):
        exemplary_images(signals_of(torch.zeros(3, 1)), by="extremum")
    for wrong in (3, [3], {"fc": signals_of(torch.zeros(3, 1))}):
        with pytest.raises(ValueError, match="^signals: must be of type Signals, found "):
            exemplary_images(wrong)
    with pytest.raises(ValueError, match="no part"):
        exemplary_images([])
    with pytest.raises(ValueError, match="one state of the model"):
        exemplary_images([signals_of(torch.zeros(3, 1)), signals_of(torch.zeros(3, 2))])
