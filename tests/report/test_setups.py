"""A comparison says what was measured differently, and which numbers may therefore not be compared."""

from dataclasses import replace

import pytest
from observations import make_observation

from lightning_factorlens.report.sections import comparison as section
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.sections.verdict import VERDICT
from lightning_factorlens.report.setups import course_changes, differences, unknown_setups
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Setup

SETUP = Setup(
    "0.2.0", "Net", 24, (1, 12, 12), "a" * 32, 4, "b" * 16, (1, 2), {}, {"consistency": "C(shift=None)"}, "classes"
)


def subject(name, *setups, **changes):
    history = []
    for epoch, setup in enumerate(setups, start=1):
        history.append(replace(make_observation(epoch, consistency=2 / epoch), setup=setup, **changes))
    return Subject(name, "", tuple(history))


def comparison(*subjects):
    """The bold words of the cautions, and the last cell of each row of the table of values."""
    parts = COMPARISON.build(subjects)
    strong = [part.strong for part in parts if hasattr(part, "strong")]
    values = next(part for part in parts if getattr(part, "caption", "").startswith("Values"))
    return strong, {row[0].partition(" (")[0]: row[-1] for row in values.rows}


def test_equal_setups_are_said_to_be_comparable():
    parts = COMPARISON.build([subject("a", SETUP), subject("b", SETUP)])
    assert (
        parts[0].text == "All were measured on the same 24 samples of shape 1×12×12, 4 layers, with the same options."
    )
    assert not differences([subject("a", SETUP), subject("b", SETUP)])


def test_charts_of_what_may_not_be_compared_say_so():
    other = replace(SETUP, probe="c" * 32)
    parts = COMPARISON.build([subject("a", SETUP, SETUP), subject("b", other, other)])
    captions = [part.caption for part in parts if hasattr(part, "source")]
    assert captions == ["May not be compared: different samples."] * 2 + [""]


@pytest.mark.parametrize(
    ("change", "name", "not_compared", "compared"),
    [
        ({"probe": "c" * 32}, "samples", {"consistency", "effective_rank"}, {"spectra/mean_alpha"}),
        ({"n_samples": 9}, "samples", {"consistency", "effective_rank"}, {"spectra/mean_alpha"}),
        ({"layers": "d" * 16}, "layers", {"effective_rank"}, {"consistency", "spectra/mean_alpha"}),
        ({"ranks": (1, 4)}, "ranks", {"effective_rank"}, {"consistency", "spectra/mean_alpha"}),
        ({"options": {"weighting": "'raw'"}}, "options", {"effective_rank"}, {"consistency"}),
        (
            {"measurements": {"consistency": "C(shift=2)"}},
            "options of consistency",
            {"consistency"},
            {"effective_rank"},
        ),
        ({"outputs": "regression"}, "reading of the output", {"consistency"}, {"effective_rank"}),
        ({"model": "Other"}, "class of the model", {"consistency", "effective_rank", "spectra/mean_alpha"}, set()),
    ],
)
def test_numbers_that_a_difference_affects_may_not_be_compared(change, name, not_compared, compared, monkeypatch):
    monkeypatch.setattr(section, "CHARTS", ())
    strong, cells = comparison(subject("a", SETUP), subject("b", replace(SETUP, **change)))
    assert strong == [f"Different {name}."]
    for number in not_compared:
        assert cells[number] == f"no: different {name}"
    for number in compared:
        assert cells[number] == "yes"


def test_another_version_is_mentioned_and_forbids_nothing():
    (found,) = differences([subject("a", SETUP), subject("b", replace(SETUP, version="0.3.0")), subject("c", SETUP)])
    assert found.sentence.startswith("a and c: 0.2.0; b: 0.3.0. The changelog")
    strong, cells = comparison(subject("a", SETUP), subject("b", replace(SETUP, version="0.3.0")))
    assert strong == ["Different version."]
    assert set(cells.values()).isdisjoint({"yes", "no: different version"})


def test_an_old_record_is_read_and_said_to_be_unknown():
    subjects = [subject("new", SETUP), subject("old", None)]
    assert unknown_setups(subjects) == ["old"]
    strong, _ = comparison(*subjects)
    assert strong == ["Not known."]
    assert differences(subjects) == []


def test_a_signal_alone_does_not_hide_the_setup_of_the_full_observations():
    run = subject("run", SETUP, SETUP)
    last = replace(run.history[-1], is_full=False, setup=replace(SETUP, ranks=(), layers="", n_layers=0))
    run = replace(run, history=(run.history[0], last))
    assert differences([run, subject("other", SETUP)]) == []


def test_a_run_whose_probe_changed_says_at_which_epoch():
    other = replace(SETUP, probe="c" * 32)
    assert course_changes(subject("a", SETUP, SETUP, None)) == ""
    changed = subject("a", SETUP, SETUP, SETUP, other, other)
    assert "changed at epoch 4:" in course_changes(changed)
    assert any("changed at epoch 4:" in part.text for part in VERDICT.build([changed]))
    resampled = [replace(SETUP, probe=str(number)) for number in range(5)]
    assert "as with resample_probe" in course_changes(subject("a", *resampled))
