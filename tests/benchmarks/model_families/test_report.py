"""The tables of the documentation, from made-up results and from those in the repository."""

import json
from dataclasses import asdict

import pytest

from benchmarks.model_families import report, results
from benchmarks.model_families.family import Family
from benchmarks.model_families.registry import FAMILIES
from benchmarks.model_families.results import figures, merge, read_results
from benchmarks.model_families.runner import run_in_subprocess
from benchmarks.model_families.trial import BARE, FAILED, ONE_ARGUMENT, SKIPPED, Trial

DATE = "2026-01-02T03:04:05+00:00"
SSD = "torchvision.detection.ssd"
BERT = "transformers.text.bert"
RESNET = "torchvision.classification.resnet"


def row(family, result=BARE, **fields):
    fields = {"layers": 3, "spectra": 5, "observations": 2, "identical": True, **fields}
    return {**asdict(Trial(family, "a | b", result, **fields)), "date": DATE}


ROWS = [
    row(RESNET, signals=("consistency",), seconds_without=1.0, seconds_with=4.25),
    row(SSD, FAILED, error="TypeError: no", error_with_argument="KeyError: 1", identical=None),
    row(
        BERT,
        ONE_ARGUMENT,
        argument="forward_fn=lambda m, b: m(a | b)",
        notes=("other", "no consistency: the inputs are no images"),
        identical=False,
        differences="/weights/a",
    ),
    row("timm.classification.vit", SKIPPED, error="not installed: timm", identical=None),
]


def test_a_table_shows_the_argument_the_counts_and_what_differs():
    text = report.tables(ROWS)
    assert "### torchvision.classification" in text
    assert r"| resnet | `a \| b` | bare | 3 | 5 | `consistency` | yes | 1.0 → 4.2 |" in text
    assert (
        r"| bert | `a \| b` | `forward_fn=lambda m, b: m(a \| b)` | 3 | 5 | none: the inputs are no images | "
        "**no**: /weights/a | 0.0 → 0.0 |" in text
    )


def test_a_family_that_does_not_run_has_its_errors_below_the_table():
    text = report.tables(ROWS)
    assert r"| ssd | `a \| b` | fails | – | – | – | – | – |" in text
    assert f"- {SSD}: TypeError: no With `{FAMILIES[SSD].argument}`: KeyError: 1" in text
    assert "- timm.classification.vit: not installed: timm" in text


def test_the_docs_are_written_between_the_marks_and_nothing_else_changes(tmp_path):
    page = tmp_path / "models.md"
    readme = tmp_path / "README.md"
    page.write_text("# Page\n\n<!-- models: begin -->\nold\n<!-- models: end -->\n\nThe end.\n")
    readme.write_text("# Readme\n")
    machine = {"processor": "a processor", "versions": {"torch": "2.6"}}
    report.write_docs({"machine": machine, "rows": ROWS}, page, readme)
    text = page.read_text()
    assert text.startswith(
        "# Page\n\n<!-- models: begin -->\n`python -m benchmarks.model_families`, 2026-01-02, a proc"
    )
    assert text.endswith("<!-- models: end -->\n\nThe end.\n")
    assert "old" not in text
    assert f"Of {len(FAMILIES)} families, 1 run with the bare callback, 1 with one argument, 1 fail, and 1 were" in text
    assert f"{len(FAMILIES) - 4} have not been tried yet. In 1 the training ended bit" in text
    assert "## Families of models" in readme.read_text()


def test_the_page_of_the_documentation_is_the_one_of_the_results():
    stored = read_results()
    expected = f"{report.summary(stored)}\n\n{report.tables(stored['rows'])}"
    assert expected in report.PAGE.read_text(encoding="utf-8"), "run python -m benchmarks.model_families --write-docs"


def test_a_result_replaces_the_one_of_its_family_and_unknown_families_are_dropped():
    rows = merge(row(SSD, layers=9), [*ROWS, row("torchvision.classification.gone")])
    assert [r["family"] for r in rows] == [RESNET, SSD, "timm.classification.vit", BERT]
    assert rows[1]["layers"] == 9


def test_every_result_is_stored_at_once_beside_the_earlier_ones(tmp_path, monkeypatch):
    path = tmp_path / "model_families.json"
    monkeypatch.setattr(results, "results_path", lambda topic, file_name: tmp_path / file_name)
    monkeypatch.setattr("benchmarks.reporting.results_path", lambda topic, file_name: tmp_path / file_name)
    results.store(row(SSD))
    results.store(row(RESNET))
    stored = json.loads(path.read_text())
    assert [r["family"] for r in stored["rows"]] == [RESNET, SSD]
    assert {figure["name"] for figure in stored["figures"]} >= {"model_families_changed"}


def test_the_figures_count_what_ran_and_what_changed():
    values = {figure.name: figure.value for figure in figures(ROWS)}
    assert values == {
        "model_families_of_torchvision_run": 1,
        "model_families_of_other_libraries_run": 1,
        "model_families_run_without_argument": 1,
        "model_families_identical": 1,
        "model_families_changed": 1,
        "model_families_skipped": 1,
    }


@pytest.mark.parametrize(
    ("time_limit", "words"),
    [(0.01, "Not finished after 0.01 seconds."), pytest.param(300, "ended with code", marks=pytest.mark.slow)],
)
def test_a_process_that_hangs_or_dies_is_a_failed_trial(time_limit, words):
    unknown = Family("own.unknown", "none", make=lambda: None)  # not in the registry, so that the process ends
    trial = run_in_subprocess(unknown, time_limit)
    assert trial["result"] == FAILED
    assert words in trial["error"]
