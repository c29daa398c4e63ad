"""The criterion of a lasting rise, on the committed records of 72 runs whose test loss is known."""

from statistics import median

import pytest

from benchmarks.stopping.candidates import DEFAULT
from benchmarks.stopping.replay import RECORDS, load
from lightning_factorlens.results import Observation, Scalars
from lightning_factorlens.results.findings import run_findings
from lightning_factorlens.results.leading_scalar import WARMUP_EPOCHS


@pytest.fixture(scope="module")
def outcomes():
    """Of each recorded run, whether it ends with a lasting rise, whether the test loss rose by a tenth, and its labels."""
    found = []
    for part in ("dev", "confirm"):
        for record in load(RECORDS, part):
            history = []
            for epoch, value in enumerate(DEFAULT.of(record), start=1):
                history.append(Observation(epoch, epoch, {"consistency": Scalars({"consistency": value})}))
            losses = record["hidden"]["test_loss"]
            has_overfitted = median(losses[-5:]) > 1.1 * min(losses)
            is_likely = run_findings(history).memorising.verdict == "likely, or over-confident"
            found.append((is_likely, has_overfitted, record["task"]["noise"] > 0))
    return found


def test_a_lasting_rise_goes_with_a_rising_test_loss_as_documented(outcomes):
    assert WARMUP_EPOCHS == 5
    assert len(outcomes) == 72
    likely = [outcome for outcome in outcomes if outcome[0]]
    others = [outcome for outcome in outcomes if not outcome[0]]
    assert len(likely) == 49
    assert sum(has_overfitted for _, has_overfitted, _ in likely) == 47
    assert sum(has_overfitted for _, has_overfitted, _ in others) == 4
    assert sum(has_wrong_labels for _, _, has_wrong_labels in likely) == 29
    assert sum(has_wrong_labels for _, _, has_wrong_labels in outcomes) == 31
