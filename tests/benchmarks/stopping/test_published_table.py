"""The figures that the project's README and `docs/stopping.md` print for stopping rules are those of the records."""

import ast
import json
import re
from statistics import mean

import pytest

from benchmarks.reporting import ROOT
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.score import scores, text
from benchmarks.stopping.campaign.tasks import CONFIRMATION
from benchmarks.stopping.make_records import read
from benchmarks.stopping.published_table import PAGE, README, SECTION, long_table, short_table, stop_figures
from benchmarks.stopping.replay import Candidate, Signal, capped, capped_last, outcome
from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.report.certainty import figures
from lightning_factorlens.stopping import DEFAULT_MONITOR


@pytest.fixture(scope="module")
def confirmation():
    return scores("confirmation", RECORDS)


def section(page, name=SECTION):
    written = page.read_text(encoding="utf-8")
    return re.search(rf"<!-- {name}: begin -->\n(.*?)\n<!-- {name}: end -->", written, re.DOTALL)[1]


@pytest.mark.parametrize(("page", "table"), [(README, short_table), (PAGE, long_table)])
def test_the_tables_in_the_pages_are_those_of_the_committed_records(page, table, confirmation):
    assert section(page) == table(confirmation), "run python -m benchmarks.stopping.campaign.score --part all"


def test_a_report_quotes_the_table(confirmation):
    assert stop_figures(confirmation) == figures()["stop"], (
        "run python -m benchmarks.stopping.campaign.score --part all"
    )


@pytest.mark.parametrize("part", ["development", "confirmation"])
def test_the_benchmarks_page_has_the_tables_of_the_committed_records(part, confirmation):
    found = confirmation if part == "confirmation" else scores(part, RECORDS)
    computed = text(part, found, scores(part, RECORDS, images_only=True))
    page = ROOT / "benchmarks" / "stopping" / "README.md"
    assert section(page, f"second_{part}") == computed, "run python -m benchmarks.stopping.campaign.score --part all"


def first_snippet():
    return re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]


def stopping_of(snippet):
    """The LabelFreeStopping that a snippet constructs, and its keyword arguments."""
    calls = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Call)]
    found = [call for call in calls if getattr(call.func, "id", None) == "LabelFreeStopping"]
    assert len(found) == 1, "the README's first snippet has to construct one LabelFreeStopping"
    names = {"LabelFreeStopping": LabelFreeStopping}
    imports = [node for node in ast.parse(snippet).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), "README.md", "exec"), names)
    arguments = {}
    for keyword in found[0].keywords:
        arguments[keyword.arg] = eval(compile(ast.Expression(keyword.value), "README.md", "eval"), names)
    return LabelFreeStopping(**arguments), arguments


def test_the_readmes_first_snippet_has_the_figures_that_the_readme_prints_for_it():
    """Independent of the code that writes the table: the snippet's arguments are read from the page and replayed."""
    stopping, arguments = stopping_of(first_snippet())
    assert stopping.monitor == DEFAULT_MONITOR, "the records hold the default signal"
    assert arguments["mode"] == "stop"
    candidate = Candidate("snippet", "probe", stopping.rule, Signal(("loss_signal",)))
    paths = [RECORDS / f"{task.name}-s{seed}.json.gz" for task in CONFIRMATION for seed in task.seeds]
    outcomes = [outcome(candidate, read(path)) for path in paths if path.exists()]
    assert len(outcomes) >= 45

    keeps_best = arguments.get("restore_best", False)
    regret = mean(capped(outcomes) if keeps_best else capped_last(outcomes))
    points = mean(o.points if keeps_best else o.last_points for o in outcomes)
    row = next(line for line in section(README).splitlines() if line.startswith("| `LabelFreeStopping`"))
    kept_regret, last_regret, both_points = [cell.strip() for cell in row.strip("|").split("|")][1:]
    printed_regret = kept_regret if keeps_best else last_regret
    printed_points = both_points.split(" / ")[0 if keeps_best else 1]
    assert float(printed_regret.split(" ")[0]) == pytest.approx(regret, abs=0.005 + 1e-9)
    assert float(printed_points) == pytest.approx(points, abs=0.05 + 1e-9)
    sentence = re.search(r"had a regret of ([\d.]+) and lost ([\d.]+) points", README.read_text(encoding="utf-8"))
    assert float(sentence[1]) == pytest.approx(regret, abs=0.005 + 1e-9)
    assert float(sentence[2]) == pytest.approx(points, abs=0.05 + 1e-9)


def test_every_figure_of_the_second_study_is_marked_as_not_reproducible_here():
    text = re.sub(r"\s+", " ", (ROOT / "docs/stopping.md").read_text(encoding="utf-8"))
    assert "whose records are not in this repository" in text


def test_the_figures_of_averaged_weights_are_those_of_the_recorded_table():
    recorded = json.loads((ROOT / "benchmarks/stopping/results/second_averages_confirmation.json").read_text())
    by_run = [run["default"] for run in recorded["regret and points lost"].values()]
    averaged = [
        run["polynomial 5 after the kept epoch"] for run in by_run if "polynomial 5 after the kept epoch" in run
    ]
    printed = re.search(
        r"average\s+of the weights, it was ([\d.]+) and ([\d.]+) points", README.read_text(encoding="utf-8")
    )
    assert len(averaged) == 45
    assert float(printed[1]) == pytest.approx(mean(min(regret, 10.0) for regret, _ in averaged), abs=0.005 + 1e-9)
    assert float(printed[2]) == pytest.approx(mean(points for _, points in averaged), abs=0.05 + 1e-9)
