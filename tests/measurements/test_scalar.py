"""The level of detail and the ranks that a scalar declares; its tag and chart are tested in `test_base`."""

import pytest

from lightning_factorlens.measurements import Scalar


@pytest.mark.parametrize(("option", "allowed"), [("detail", "summary.*layers.*all"), ("ranks", "all.*few.*middle")])
def test_an_unknown_level_or_choice_of_ranks_is_refused(option, allowed):
    with pytest.raises(ValueError, match=rf"{option}: found 'most', allowed are .*{allowed}"):
        Scalar("own", "{prefix}/own", "A number.", **{option: "most"})


def test_a_scalar_is_logged_at_every_level_and_rank_unless_it_says_otherwise():
    scalar = Scalar("own", "{prefix}/own", "A number.")
    assert (scalar.detail, scalar.ranks) == ("summary", "all")
