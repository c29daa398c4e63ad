"""The comparison of a run with the record of an earlier version: renamed tags, single bits, missing tags."""

import json
import math

import pytest
from torch.utils.tensorboard import SummaryWriter

from benchmarks.safety import golden_record
from benchmarks.safety.golden_record import RENAMED_TAGS, compare, main, read_record, renamed, write_record

TABLE = json.loads(RENAMED_TAGS.read_text())
BEFORE = {
    "factorlens/consistency": [[0, 1.5], [9, math.nan]],
    "factorlens/rank_at_50pct_capped": [[0, 0.0]],
    "factorlens/share": [[0, 0.25]],
    "factorlens_similarity/net.1/first_4_eigenvalues": [[0, 2.0]],
    "factorlens_cost/probe": [[0, 0.125]],
}
AFTER = {
    "factorlens/consistency": [[0, 1.5], [9, math.nan]],
    "factorlens_total/rank_at_50pct_is_lower_bound": [[0, 0.0]],
    "factorlens_cost/overhead": [[0, 0.75]],
    "factorlens_similarity/net.1/mean_top_k": [[0, 2.0]],
    "factorlens_cost/probe": [[0, 0.5]],
}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factorlens/share", "factorlens_cost/overhead"),
        ("factorlens/looks_skipped", "factorlens_cost/signal_only"),
        ("factorlens/rank_at_30pct_capped", "factorlens_total/rank_at_30pct_is_lower_bound"),
        ("factorlens/stop_verdict", "factorlens/should_stop"),
        ("factorlens_similarity/net.8/off_diagonal", "factorlens_similarity/net.8/mean_cosine"),
        (
            "factorlens_similarity/features/0/first_12_eigenvalues",
            "factorlens_similarity/features/0/mean_top_k",
        ),
        ("factorlens/shared", "factorlens/shared"),
        ("train_loss", "train_loss"),
    ],
)
def test_a_tag_is_renamed_only_where_an_expression_matches_all_of_it(old, new):
    assert renamed(old, TABLE) == new


def test_equal_records_have_no_difference_and_measured_times_are_ignored():
    found = compare(BEFORE, AFTER, TABLE)
    assert found.differing == found.only_before == found.only_after == ()
    assert len(found.compared) == 3
    assert found.ignored == ("factorlens_cost/overhead", "factorlens_cost/probe")


@pytest.mark.parametrize(
    "points",
    [[[0, math.nextafter(1.5, 2)], [9, math.nan]], [[1, 1.5], [9, math.nan]], [[0, 1.5]], [[0, 1.5], [9, 0.0]]],
)
def test_one_bit_one_step_or_one_point_makes_a_tag_differ(points):
    found = compare(BEFORE, {**AFTER, "factorlens/consistency": points}, TABLE)
    assert found.differing == ("factorlens/consistency",)


def test_negative_zero_differs_from_zero():
    found = compare(BEFORE, {**AFTER, "factorlens_total/rank_at_50pct_is_lower_bound": [[0, -0.0]]}, TABLE)
    assert found.differing == ("factorlens_total/rank_at_50pct_is_lower_bound",)


def test_tags_missing_on_either_side_are_listed():
    after = {**AFTER, "new": [[0, 1.0]]}
    del after["factorlens/consistency"]
    found = compare(BEFORE, after, TABLE)
    assert found.only_before == ("factorlens/consistency",)
    assert found.only_after == ("new",)


def test_two_tags_with_one_present_name_are_an_error():
    with pytest.raises(ValueError, match="renamed to 'factorlens_cost/overhead'"):
        compare({**BEFORE, "factorlens_cost/overhead": [[0, 1.0]]}, AFTER, TABLE)


@pytest.mark.parametrize("name", ["record.json", "record.json.gz"])
def test_a_record_is_read_as_it_was_written(tmp_path, name):
    write_record(tmp_path / name, AFTER)
    assert repr(read_record(tmp_path / name)) == repr(AFTER)


def test_the_committed_records_are_compared_with_a_run_by_the_command(tmp_path, capsys):
    for path in sorted(golden_record.RENAMED_TAGS.parent.glob("results/golden_record_before/*.json")):
        record = {renamed(tag, TABLE): points for tag, points in read_record(path).items()}
        write_record(tmp_path / path.name, record)
        main(["compare", str(path), str(tmp_path / path.name)])
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "figure golden_tags_differing 0 goal <=0 ok"
        assert len(lines) == 2 and int(lines[0].split()[0]) > 200


def test_the_newest_run_is_recorded(tmp_path, capsys):
    for name, value in (("version_0", 1.0), ("version_1", 2.0)):
        with SummaryWriter(str(tmp_path / name)) as writer:
            writer.add_scalar("factorlens/consistency", value, 3)
    main(["record", str(tmp_path / "out.json"), "--run-dir", str(tmp_path)])
    assert read_record(tmp_path / "out.json") == {"factorlens/consistency": [[3, 2.0]]}
    assert "1 tags of" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="no TensorBoard file"):
        golden_record.newest_run(tmp_path / "empty")
