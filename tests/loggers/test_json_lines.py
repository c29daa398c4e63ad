"""Files of JSON lines."""

import pytest
from records import kept, strict_json

from lightning_factorlens import JSONLinesSink, read_jsonl, write_jsonl
from lightning_factorlens.loggers.base import Sink
from lightning_factorlens.results import Observation, Scalars
from lightning_factorlens.results.serialization import to_json


def test_a_file_comes_back_bit_for_bit(observe, tmp_path):
    observations = [observe(e, notes=("a note",), n_signal_only=e) for e in (0, 1, 5)]
    path = tmp_path / "observations.jsonl"
    write_jsonl(observations, path)
    back = read_jsonl(path)
    assert [kept(o) for o in back] == [kept(o) for o in observations]
    assert all(o.inputs is None and o.factorization is None for o in back)
    assert [strict_json(line)["epoch"] for line in path.read_text().splitlines()] == [0, 1, 5]


def test_an_error_names_the_line(observe, tmp_path):
    path = tmp_path / "observations.jsonl"
    path.write_text(to_json(observe()) + "\n" + '{"epoch":3}\n')
    with pytest.raises(ValueError, match=r"observations.jsonl, line 2: not an observation: .*with records"):
        read_jsonl(path)
    path.write_text(to_json(observe()) + "\n" + '{"epoch":3,"records":{}}\n')
    with pytest.raises(ValueError, match=r"observations.jsonl, line 2: not an observation: 'step'"):
        read_jsonl(path)
    path.write_text('{"epoch":3,"step":4,"records":{"cost":{"type":"Cost"}}}\n')
    with pytest.raises(ValueError, match=r"line 1: not an observation: .*Cost lacks 'seconds'"):
        read_jsonl(path)


def test_a_file_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"misspelt\.jsonl"):
        read_jsonl(tmp_path / "misspelt.jsonl")


def test_a_killed_run_leaves_its_finished_lines(observe, tmp_path):
    path = tmp_path / "observations.jsonl"
    write_jsonl([observe(0), observe(1)], path)
    path.write_text(path.read_text()[:-40])
    assert [o.epoch for o in read_jsonl(path)] == [0]
    sink = JSONLinesSink(path)
    sink.write(observe(1))
    assert [o.epoch for o in read_jsonl(path)] == [0, 1]


def test_a_new_run_replaces_the_file_and_a_resumed_one_continues_it(observe, tmp_path):
    path = tmp_path / "new" / "observations.jsonl"
    first = JSONLinesSink(path)
    assert isinstance(first, Sink)
    for epoch in range(5):
        first.write(observe(epoch, consistency=0.5))
    resumed = JSONLinesSink(path)  # from the checkpoint of epoch 2
    for epoch in (3, 4, 5):
        resumed.write(observe(epoch, consistency=0.25))
    assert [(o.epoch, o["consistency"]["consistency"]) for o in read_jsonl(path)] == [
        (0, 0.5), (1, 0.5), (2, 0.5), (3, 0.25), (4, 0.25), (5, 0.25),
    ]  # fmt: skip
    resumed.close()
    resumed.write(observe(0))  # another call of fit
    assert [o.epoch for o in read_jsonl(path)] == [0]


def test_a_line_that_does_not_fit_on_the_disk_damages_no_other(tmp_path):
    resource = pytest.importorskip("resource")
    observations = [Observation(epoch, epoch, {"c": Scalars({"consistency": 0.5})}) for epoch in range(3)]
    sink = JSONLinesSink(tmp_path / "curves.jsonl")
    sink.write(observations[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sink.path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            sink.write(observations[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.write(observations[2])
    assert [observation.epoch for observation in read_jsonl(sink.path)] == [0, 2]
