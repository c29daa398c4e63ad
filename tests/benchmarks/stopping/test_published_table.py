"""The figures that the project's README and `docs/stopping.md` print for stopping rules are those of the records."""

import ast
import json
import re
from statistics import mean

import pytest

from benchmarks.reporting import ROOT
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.score import scores, text
from benchmarks.stopping.campaign.tasks import THIRD
from benchmarks.stopping.campaign.third_score import text as third_text
from benchmarks.stopping.campaign.third_score import third_scores
from benchmarks.stopping.make_records import read
from benchmarks.stopping.published_table import PAGE, README, SECTION, long_table, short_table, stop_figures
from benchmarks.stopping.replay import CAP, LEAST, Candidate, Signal, decide
from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.callbacks._averaged_weights import EPOCHS_AFTER
from lightning_factorlens.report.certainty import figures


@pytest.fixture(scope="module")
def third():
    return third_scores(RECORDS)


def section(page, name=SECTION):
    written = page.read_text(encoding="utf-8")
    return re.search(rf"<!-- {name}: begin -->\n(.*?)\n<!-- {name}: end -->", written, re.DOTALL)[1]


@pytest.mark.parametrize(("page", "table"), [(README, short_table), (PAGE, long_table)])
def test_the_tables_in_the_pages_are_those_of_the_committed_records(page, table, third):
    assert section(page) == table(third), "run python -m benchmarks.stopping.campaign.third_score"


def test_a_report_quotes_the_table(third):
    assert stop_figures(third) == figures()["stop"], "run python -m benchmarks.stopping.campaign.third_score"


BENCHMARKS_PAGE = ROOT / "benchmarks" / "stopping" / "README.md"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["development", "confirmation"])
def test_the_benchmarks_page_has_the_tables_of_the_committed_records(part):
    computed = text(part, scores(part, RECORDS), scores(part, RECORDS, images_only=True))
    assert section(BENCHMARKS_PAGE, f"second_{part}") == computed, (
        "run python -m benchmarks.stopping.campaign.score --part all"
    )


def test_the_benchmarks_page_has_the_tables_of_the_third_part(third):
    assert section(BENCHMARKS_PAGE, "third") == third_text(third), (
        "run python -m benchmarks.stopping.campaign.third_score"
    )


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
    assert arguments["mode"] == "stop" and arguments["restore_best"] == "average"
    candidate = Candidate("snippet", "probe", stopping.rule, Signal((stopping.monitor.partition("/")[2],)))
    paths = [RECORDS / f"{task.name}-s{seed}.json.gz" for task in THIRD for seed in task.seeds]
    regrets, points = [], []
    for record in [read(path) for path in paths if path.exists()]:
        [kept], stop = decide(candidate, record)
        average = record["averages"].get("polynomial") or record["averages"]["swa"]
        last = min(stop, kept + EPOCHS_AFTER)
        loss, accuracy = record["hidden"]["test_loss"], record["hidden"]["test_accuracy"]
        scale = max(mean(loss) - min(loss), LEAST)
        regrets.append(min(CAP, (average["test_loss"][last - 1] - min(loss)) / scale))
        points.append(100 * (max(accuracy) - average["test_accuracy"][last - 1]))
    assert len(regrets) >= 45

    row = section(README).splitlines()[2]
    assert row.startswith("| `LabelFreeStopping(")
    printed_regret, printed_points = [cell.strip() for cell in row.strip("|").split("|")][2:]
    assert float(printed_regret.split(" ")[0]) == pytest.approx(mean(regrets), abs=0.005 + 1e-9)
    assert float(printed_points) == pytest.approx(mean(points), abs=0.05 + 1e-9)
    sentence = re.search(r"had a regret of ([\d.]+) and lost ([\d.]+) points", README.read_text(encoding="utf-8"))
    assert float(sentence[1]) == pytest.approx(mean(regrets), abs=0.005 + 1e-9)
    assert float(sentence[2]) == pytest.approx(mean(points), abs=0.05 + 1e-9)


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
        r'`restore_best="average"` \(45 runs\) \| ([\d.]+) .*\| ([\d.]+) \(', PAGE.read_text(encoding="utf-8")
    )
    assert len(averaged) == 45
    assert float(printed[1]) == pytest.approx(mean(min(regret, 10.0) for regret, _ in averaged), abs=0.005 + 1e-9)
    assert float(printed[2]) == pytest.approx(mean(points for _, points in averaged), abs=0.05 + 1e-9)
