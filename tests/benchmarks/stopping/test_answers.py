"""The certainty that a report gives its answers is what the committed records give."""

from benchmarks.stopping.answers import moments, new_lows, rises
from lightning_factorlens.report.certainty import NEW_LOWS, RISES


def test_the_certainty_of_a_report_is_that_of_the_records():
    found = [*moments("dev"), *moments("confirm")]
    for verdict, (percent, n_runs) in NEW_LOWS.items():
        share, n_found = new_lows(found, verdict)
        assert (round(100 * share), n_found) == (percent, n_runs)
    assert {verdict: rises(found, verdict) for verdict in RISES} == RISES
