"""The page: complete by itself, with every text escaped, whatever a run has recorded."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from observations import make_observation, power_law

from lightning_factorlens.report import ReportError, write_report
from lightning_factorlens.report.certainty import figures
from lightning_factorlens.report.parts import Text
from lightning_factorlens.report.registry import SECTIONS
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import (
    Cost,
    LayerExponent,
    LayerSpectra,
    Observation,
    RankCurves,
    RequiredRank,
    RequiredRanks,
    Scalars,
    ScopedScalar,
)

ODD_NAMES = ("<script>alert(1)</script>", "\"quoted\" & 'single'", "", "a$b$c^{2}", "{{ 7*7 }}", "x" * 300)


class Page(HTMLParser):
    """The elements of a page with their attributes, and their texts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data.strip())

    def having(self, attribute):
        return [(tag, found[attribute]) for tag, found in self.elements if attribute in found]


def observation(epoch, value, names=("conv", "fc"), **records):
    spectra = LayerSpectra(tuple(power_law(name, 3.0, n=24, n_tail=12) for name in names), None)
    units = ScopedScalar("flagged_units", {"total": 0.25, **dict.fromkeys(names, 0.25)})
    made = make_observation(epoch).with_record("weight_spectra", spectra).with_record("node_health", units)
    return replace(made, records={**made.records, "consistency": Scalars({"consistency": value}), **records})


def page_of(runs, tmp_path, **options):
    return Page(write_report(runs, tmp_path / "new" / "report.html", **options).read_text())


def test_two_runs_give_one_file_that_is_complete_by_itself(tmp_path):
    values = [2.0, 1.6, 1.4, 1.2, 1.1, 1.0, 0.9, 1.2, 1.2, 1.3, 1.3, 1.4, 1.4]
    history = [observation(epoch, value) for epoch, value in enumerate(values, start=1)]
    page = page_of({"wrong labels": history, "right labels": history[:1]}, tmp_path)
    ids = {value for _, value in page.having("id")}
    sources = [value for _, value in page.having("src")]
    links = [value for _, value in page.having("href")]
    assert len(sources) > 8
    assert all(source.startswith("data:image/") for source in sources)
    assert all(link == "data:," or link.removeprefix("#") in ids for link in links)
    assert {section.anchor for section in SECTIONS} <= ids
    assert all(found.get("alt") for tag, found in page.elements if tag == "img")
    assert all(found.get("scope") for tag, found in page.elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert "This section could not be made." not in page.texts
    assert "Memorising? likely, or over-confident." in page.texts
    assert "One observation." in page.texts
    assert "FactorLens: wrong labels and right labels" in page.texts


def test_odd_names_are_shown_as_they_are(tmp_path):
    name = ODD_NAMES[0]
    page = page_of({name: [observation(1, 1.0, ODD_NAMES)]}, tmp_path, title=ODD_NAMES[4])
    assert "script" not in [tag for tag, _ in page.elements]
    assert ODD_NAMES[4] in page.texts
    for shown in (*ODD_NAMES[:2], *ODD_NAMES[3:], "(the model)"):
        assert shown in page.texts


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, "The record has none of the numbers that tables of runs show."),
        ({"mine": Scalars({"a": math.nan})}, "Nothing of this kind was recorded."),
        ({"consistency": Scalars({"consistency": math.inf})}, "consistency: not finite at epoch 1."),
        ({"node_health": Scalars({"mine": 1.0})}, "This section could not be made. AttributeError"),
    ],
)
def test_a_report_says_what_was_not_recorded(record, words, tmp_path):
    page = page_of([Observation(1, 10, record), Observation(1, 20, record)], tmp_path)
    assert words in " ".join(page.texts)


@pytest.mark.slow
def test_two_hundred_layers_over_a_thousand_epochs_stay_below_8_megabytes(tmp_path):
    names = [f"blocks.{number}.attention" for number in range(200)]
    whole = observation(1000, 1.0, names)
    exponents = {name: LayerExponent(3.0 + number / 100, 24) for number, name in enumerate(names)}
    spectra = LayerSpectra((), None, condensed_layers=exponents)
    history = []
    for epoch in range(1, 1000):
        records = {"consistency": Scalars({"consistency": 2 + math.sin(epoch)}), "weight_spectra": spectra}
        history.append(Observation(epoch, 10 * epoch, records))
    path = write_report([*history, whole], tmp_path / "report.html")
    assert path.stat().st_size < 8e6


@pytest.mark.parametrize("runs", [[], {}, {"empty": []}])
def test_a_report_of_nothing_is_refused(runs, tmp_path):
    with pytest.raises(ReportError, match="there is no observation"):
        write_report(runs, tmp_path / "report.html")


@pytest.mark.parametrize("runs", [3, [3], {"run": None}])
def test_what_is_no_run_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="runs: must be of type"):
        write_report(runs, tmp_path / "report.html")


def test_the_certainty_is_that_of_the_documentation():
    root = Path(__file__).parents[2]
    table = (root / "docs/stopping.md").read_text()
    tried = figures()["stop"]
    titles = {
        "loss_signal": '`LabelFreeStopping(target="loss")`',
        "accuracy_signal": "`LabelFreeStopping()`",
        "consistency": "the default of version 0.1",
    }
    for signal, by_weights in tried["by_signal"].items():
        for handed_over, (regret, points) in by_weights.items():
            assert f"| {titles[signal]} | {handed_over} | {regret} | {points} |" in table
    assert f"on those {tried['n_runs']} runs" in table


def test_weights_of_few_eigenvalues_count_neither_in_the_verdict_nor_in_the_mean(tmp_path):
    spectra = LayerSpectra((power_law("conv", 3.0, n=24, n_tail=12), power_law("fc", 9.0, n=10, n_tail=8)), None)
    text = " ".join(page_of([observation(3, 1.0, weight_spectra=spectra)], tmp_path).texts)
    assert "α of 1 of 2 weight matrices, those with at least 20 eigenvalues: mean 3.00; 1 of 1 between" in text


def test_a_record_gives_no_probability_that_needs_the_planned_number_of_epochs(tmp_path):
    history = []
    for epoch in range(1, 13):
        history.append(
            observation(epoch, 2 / epoch, consistency=Scalars({"consistency": 1.0, "accuracy_signal": 2 / epoch}))
        )
    text = " ".join(page_of(history, tmp_path).texts)
    assert "found epoch 12 the best" in text.replace("Default", "default")
    assert "estimated probability" not in text
    assert "Dashed line" not in text


def test_the_time_of_every_measurement_belongs_to_an_activity(tmp_path):
    seconds = {"total": 10.0, "capture": 2.0, "concept_quality": 4.0, "unit_pictures": 4.0}
    costs = [Cost(seconds, None), Cost(seconds, 0.05), Cost(seconds, 0.5), Cost(seconds, 0.06)]
    history = [observation(epoch, 1.0, cost=cost) for epoch, cost in enumerate(costs)]
    texts = page_of(history, tmp_path).texts
    assert any("6.0% (median), at most 50.0%." in text for text in texts)
    assert "other" not in texts[texts.index("Where the time went") :]


def test_weights_of_which_no_epoch_is_known_are_not_said_to_be_of_one(tmp_path):
    ranks = {"required_rank": RequiredRanks((RequiredRank(0.5, 1.0, False), RequiredRank(0.3, 2.5, False)))}
    found = replace(observation(0, 1.0, **ranks), step=0)
    text = " ".join(page_of([found], tmp_path).texts)
    assert "not known after how many epochs" in text
    assert "takes 1 component for an error of 50 % and 2.5 components for" in text
    assert "the median one" not in text
    assert "as it is after epoch 3." in " ".join(page_of([observation(3, 1.0)], tmp_path).texts)


def test_what_was_measured_before_the_last_observation_says_when(tmp_path):
    untrained = replace(observation(0, 2.0), step=0)
    broken = Observation(4, 400, {"consistency": Scalars({"consistency": math.nan})})
    texts = page_of([untrained, broken], tmp_path).texts
    caution = texts.index("Caution.")
    assert texts[caution + 1].startswith("consistency: not finite at epoch 4. What is said below is of")
    assert caution < texts.index("Still learning? cannot tell.")
    assert sum("measured before training, and not since." in text for text in texts) == 3
    texts = page_of([untrained, observation(3, 1.0), broken], tmp_path).texts
    assert sum("measured at epoch 3, and not since." in text for text in texts) == 3


def test_a_comparison_of_old_records_of_other_layers_says_so():
    def bold(*observations):
        parts = COMPARISON.build([Subject(str(number), "", (found,)) for number, found in enumerate(observations)])
        return [part.strong for part in parts if isinstance(part, Text)]

    curves = observation(1, 1.0)["reconstruction_error"].curves
    fewer = RankCurves({name: curve for name, curve in curves.items() if name != "layer1"})
    other = observation(1, 1.0, reconstruction_error=fewer)
    condensed = observation(1, 1.0, reconstruction_error=fewer.condensed())
    assert bold(observation(1, 1.0), other) == ["Not known.", "Caution."]
    for same in (observation(2, 1.0), condensed):
        assert bold(observation(1, 1.0), same) == ["Not known."]
