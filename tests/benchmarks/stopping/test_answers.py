"""The certainty that a report gives its answers is what the committed records give."""

from benchmarks.stopping.answers import NEWEST, answer_figures, newest_study
from lightning_factorlens.report.certainty import figures


def test_the_certainty_of_a_report_is_that_of_the_newest_records():
    assert answer_figures(newest_study(), NEWEST) == figures()["answers"], (
        "run python -m benchmarks.stopping.answers --write"
    )
