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
    """Of each recorded run, whether the finding is a lasting rise, and whether the test loss rose by a tenth."""
    found = []
    for part in ("dev", "confirm"):
        for record in load(RECORDS, part):
            history = []
            for epoch, value in enumerate(DEFAULT.of(record), start=1):
                history.append(Observation(epoch, epoch, {"consistency": Scalars({"consistency": value})}))
            losses = record["hidden"]["test_loss"]
            has_overfitted = median(losses[-5:]) > 1.1 * min(losses)
            found.append((run_findings(history).memorising.verdict == "likely", has_overfitted))
    return found


def test_a_lasting_rise_goes_with_a_rising_test_loss_as_documented(outcomes):
    assert WARMUP_EPOCHS == 5
    assert len(outcomes) == 72
    assert sum(is_likely for is_likely, _ in outcomes) == 49
    assert sum(is_likely and has_overfitted for is_likely, has_overfitted in outcomes) == 47
    assert sum(has_overfitted for is_likely, has_overfitted in outcomes if not is_likely) == 4
