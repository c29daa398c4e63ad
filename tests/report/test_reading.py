"""What is read as a run: JSON lines, folders with such files, and the histories of checkpoints."""

import math

import pytest
from observations import make_observation

from lightning_factorlens.loggers.json_lines import write_jsonl
from lightning_factorlens.report import ReportError, read_runs
from lightning_factorlens.report.reading import condense, history_of_checkpoint
from lightning_factorlens.results import History


@pytest.fixture
def history():
    return [make_observation(epoch, consistency=math.nan if epoch == 2 else 1 / epoch) for epoch in (1, 2, 3)]


def test_a_run_that_was_killed_in_the_middle_of_a_line_is_read(history, tmp_path):
    path = tmp_path / "digits" / "curves.jsonl"
    path.parent.mkdir()
    write_jsonl(history, path)
    path.write_text(path.read_text()[:-200])
    (run,) = read_runs(path)
    assert run.name == "digits"
    assert [observation.epoch for observation in run.history] == [1, 2]
    assert math.isnan(run.history[1].value("consistency"))
    assert "unfinished" in run.notes[0]


def test_the_runs_of_a_folder_are_named_by_what_tells_them_apart(history, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_jsonl(history, tmp_path / "runs" / name / "curves.jsonl")
    (tmp_path / "runs" / "notes.jsonl").write_text('{"text": "no observation"}\n')
    assert [run.name for run in read_runs(tmp_path / "runs")] == ["a/curves", "b/curves"]
    (tmp_path / "runs" / "notes.jsonl").unlink()
    assert [run.name for run in read_runs(tmp_path / "runs")] == ["a", "b"]
    assert [run.name for run in read_runs(tmp_path / "runs" / "b")] == ["b"]


def test_all_but_the_first_and_the_last_records_are_condensed(history):
    first, middle, last = condense(history)
    assert "layer1" in first["reconstruction_error"].curves
    assert "layer1" not in middle["reconstruction_error"].curves
    assert len(last["weight_spectra"].layers) == 4
    assert middle["weight_spectra"].exponents().keys() == last["weight_spectra"].exponents().keys()


def test_the_lines_of_a_resumed_run_replace_those_after_its_checkpoint():
    observations = [make_observation(epoch) for epoch in (1, 2, 3, 4, 3, 4, 5)]
    found = condense(observations)
    assert [observation.epoch for observation in found] == [1, 2, 3, 4, 5]
    assert found[2] is not observations[2]
    assert "layer1" in found[-1]["reconstruction_error"].curves
    assert "layer1" not in found[-2]["reconstruction_error"].curves


def test_a_checkpoint_holds_the_run_and_what_its_rule_has_decided(history):
    stopping = {"best_epoch": 2, "stop_epoch": None}
    saved = {"callbacks": {"lens": {"history": History(history).state_dict()}, "stopping": stopping}}
    run = history_of_checkpoint(saved, "last", "last.ckpt")
    assert [observation.epoch for observation in run.history] == [1, 2, 3]
    assert (run.advice.best_epoch, run.advice.stop_epoch) == (2, None)
    assert history_of_checkpoint({"state_dict": {}}, "net", "net.pt") is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("curves.jsonl", "", "holds no finished observation"),
        ("curves.jsonl", "{", "holds no finished observation"),
        ("curves.jsonl", '{"epoch": 1}\n', "line 1: not an observation"),
        ("curves.jsonl", "a,b\n1,2\n", "line 1: not an observation"),
        ("events.out.tfevents.1", "x", "only TensorBoard's event files.*JSONLinesSink"),
        ("other.txt", "x", r"holds no JSON lines .\*.jsonl.; train with"),
    ],
)
def test_a_folder_without_a_record_says_how_to_get_one(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ReportError, match=message):
        read_runs(tmp_path)


def test_a_path_of_nothing_and_too_many_runs_are_refused(history, tmp_path):
    with pytest.raises(ReportError, match="there is no file or folder"):
        read_runs(tmp_path / "nothing")
    for number in range(7):
        (tmp_path / f"{number}.jsonl").write_text("")
    with pytest.raises(ReportError, match="holds 7 files .* at most 6 runs are compared"):
        read_runs(tmp_path)
