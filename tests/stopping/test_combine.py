"""Combinations of rules, and rules on another metric."""

import pytest

from lightning_factorlens.stopping import AllOf, AnyOf, MinEpochs, OnMetric, Patience, epoch_infos, replay


def test_combinations_of_two_rules_on_two_metrics():
    series, infos = [1.0, 2, 3, 4], epoch_infos(4, metrics={"other": [4.0, 3, 2, 3]})
    a, b = Patience(1), OnMetric(Patience(1), "other")
    stops = lambda rule: [d.stop for d in replay(rule, series, infos)]  # noqa: E731
    assert stops(a) == [False, True, True, True]
    assert stops(b) == [False, False, False, True]
    assert stops(AllOf([a, b])) == stops(b)
    assert stops(AnyOf([b, a])) == stops(a)
    assert replay(AnyOf([b, a]), series, infos)[2].best_epoch == 3
    assert AnyOf([b, MinEpochs(OnMetric(a, "third"), 2)]).metrics == ("other", "third")
    assert "other: improved to 3" in replay(AllOf([a, b]), series, infos)[1].reason
    assert stops(OnMetric(Patience(1), "absent")) == [False] * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AllOf([]), r"rules: must be a list of rules, at least one, found \[\]"),
        (lambda: AnyOf([Patience]), "rules: must be a list of rules"),
    ],
)
def test_an_error_names_the_wrong_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()
