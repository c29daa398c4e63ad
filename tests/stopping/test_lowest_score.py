"""The best measurement of rules that keep the lowest score."""

from lightning_factorlens.stopping import Maximize, Patience, replay


def test_the_best_epoch_is_the_first_with_the_lowest_score():
    series = [3.0, 1.0, 2.0, 1.0, 0.5, 4.0]
    assert [d.best_epoch for d in replay(Patience(5), series)] == [1, 2, 2, 2, 5, 5]
    assert [d.best_epoch for d in replay(Maximize(Patience(5)), series)] == [1, 1, 1, 1, 1, 6]
