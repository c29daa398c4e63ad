"""Replay of recorded series: lengths must agree."""

import pytest

from lightning_factorlens.stopping import Patience, epoch_infos, replay


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: epoch_infos(3, [0.1, 0.2]), "lrs: must have one entry for each of the 3 measurements, found 2"),
        (lambda: epoch_infos(3, metrics={"a": [1.0]}), "a: must have one entry"),
        (
            lambda: replay(Patience(), [1.0, 2.0], epoch_infos(3)),
            "infos: must have one entry for each of the 2 values, found 3",
        ),
    ],
)
def test_an_error_names_the_argument_of_another_length(make, message):
    with pytest.raises(ValueError, match=message):
        make()
