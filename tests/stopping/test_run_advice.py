"""Everything that names the best epoch of a run names the same one, and the signal that chose it."""

import pytest
from artists import by_id
from observations import MEASUREMENTS

from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.json_lines import iterate_jsonl, write_jsonl
from lightning_factorlens.loggers.tables import run_report
from lightning_factorlens.plots import dashboard_figure, history_figure
from lightning_factorlens.report.reading import history_of_checkpoint
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.sections.course import COURSE
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import History, Scalars
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping.run_advice import run_advice

OWN = StopAdvice("LabelFreeStopping", 12, None, signal="loss_signal")


@pytest.fixture
def history(observe):
    """A run of which accuracy_signal is lowest at epoch 18, loss_signal at epoch 21 and consistency at epoch 25."""
    found = []
    for epoch in range(1, 31):
        best = {"consistency": 25, "loss_signal": 21, "accuracy_signal": 18}
        numbers = {name: 1 + 0.05 * abs(epoch - best_epoch) for name, best_epoch in best.items()}
        found.append(observe(epoch).with_record("consistency", Scalars(numbers)))
    return found


@pytest.mark.parametrize(
    ("advice", "epoch", "by"), [(None, 18, "default rule on accuracy_signal"), (OWN, 12, OWN.criterion)]
)
def test_summary_figures_best_values_and_report_agree(history, advice, epoch, by):
    report = run_report(history, MEASUREMENTS, "factorlens", "cost", advice)
    assert f"summary of the run (best: {by}):" in report
    assert f"best, epoch {epoch} (step" in report
    assert f"{by} found epoch {epoch} the best" in report
    assert by_id(dashboard_figure(history, advice).axes[0].lines)["best"].get_xdata()[0] == epoch
    assert history_figure(history, advice).axes[0].get_title(loc="left").endswith(f"best epoch {epoch} by {by}")
    best = BestValues(MEASUREMENTS, history=history)
    assert best.update(history[-1], advice)["factorlens_best/epoch"] == epoch
    subjects = [Subject(name, "", tuple(history), advice=advice) for name in "ab"]
    verdicts = next(part for part in COMPARISON.build(subjects) if hasattr(part, "rows"))
    assert ("best epoch", *[f"{epoch}, by {by}"] * 2) in verdicts.rows
    (table,) = [part for part in COURSE.build(subjects[:1]) if hasattr(part, "rows")]
    assert table.header[2] == f"best, epoch {epoch}"


@pytest.mark.parametrize(
    ("names", "epoch", "by"),
    [
        (("consistency", "loss_signal"), 21, "default rule on loss_signal"),
        (("consistency",), 25, "default rule on consistency"),
    ],
)
def test_records_without_the_signal_are_judged_by_what_they_have(history, names, epoch, by, tmp_path):
    for place, observation in enumerate(history):
        numbers = {name: observation["consistency"][name] for name in names}
        history[place] = observation.with_record("consistency", Scalars(numbers))
    write_jsonl(history, tmp_path / "old.jsonl")
    advice = run_advice(list(iterate_jsonl(tmp_path / "old.jsonl")))
    assert (advice.criterion, advice.best_epoch) == (by, epoch)


def test_a_checkpoint_knows_the_signal_of_its_rule(history):
    stopping = {"best_epoch": 2, "stop_epoch": None, "rule": repr(("factorlens/loss_signal", None))}
    saved = {"callbacks": {"lens": {"history": History(history[:2]).state_dict()}, "stopping": stopping}}
    assert history_of_checkpoint(saved, "last", "last.ckpt").advice.criterion == "LabelFreeStopping on loss_signal"
