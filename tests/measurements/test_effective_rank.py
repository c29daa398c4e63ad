"""Effective ranks in a lens against the function that computes them."""


def test_the_record_holds_the_effective_rank_of_all_groups(measured):
    observation, groups, _ = measured
    assert observation["effective_rank"].by_scope == groups.effective_ranks()
