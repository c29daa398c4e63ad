"""Compares every scalar of a run with the record of an earlier version of the package, bit for bit.

    python -m benchmarks.safety.golden_record record OUT.json --run-dir DIR
    python -m benchmarks.safety.golden_record compare BEFORE.json AFTER.json

``record`` reads the newest TensorBoard run below DIR into ``{tag: [[step, value], ...]}``; a name that ends in ``.gz``
is compressed. ``compare`` renames the tags of BEFORE by ``renamed_tags.json``, leaves out the tags whose values are
measured times (`TIME_TAGS`), and compares steps and values tag by tag. Both runs must come from the same script with
the same seed on the same machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reporting import Figure, print_figures

#: Regular expressions of whole tags in BEFORE, and the tags that took their place.
RENAMED_TAGS = Path(__file__).with_name("renamed_tags.json")
#: Whole tags, after renaming, whose values are measured times and differ from run to run.
TIME_TAGS = (r"factorlens_cost/.*",)

#: Steps and values by tag.
Record = Mapping[str, Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Comparison:
    """The differences between two records.

    Attributes:
        compared: Tags that both records hold.
        differing: Those of them whose steps or values differ in at least one bit.
        only_before: Tags (after renaming) that only the earlier record holds.
        only_after: Tags that only the later record holds.
        ignored: Tags of either record that hold measured times.
    """

    compared: tuple[str, ...]
    differing: tuple[str, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    ignored: tuple[str, ...]


def newest_run(folder: Path) -> Path:
    """The folder of the newest TensorBoard file below ``folder``.

    Raises:
        FileNotFoundError: There is no TensorBoard file.
    """
    files = list(folder.rglob("events.out.tfevents.*"))
    if not files:
        raise FileNotFoundError(f"--run-dir: found no TensorBoard file below {folder}; name the run's log folder.")
    return max(files, key=lambda file: file.stat().st_mtime_ns).parent


def read_run(folder: Path) -> dict[str, list[list[float]]]:
    """Every scalar in the TensorBoard files of one run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    record = {}
    for tag in events.Tags()["scalars"]:
        record[tag] = [[event.step, event.value] for event in events.Scalars(tag)]
    return record


def read_record(path: Path) -> dict[str, list[list[float]]]:
    """A record as `write_record` wrote it."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    record: dict[str, list[list[float]]] = json.loads(content)
    return record


def write_record(path: Path, record: Record) -> None:
    """Writes a record as JSON, compressed if the name ends in ``.gz``."""
    content = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def renamed(tag: str, table: Mapping[str, str]) -> str:
    """The present name of a tag: the replacement of the first expression that matches the whole tag, or the tag."""
    for expression, replacement in table.items():
        match = re.fullmatch(expression, tag)
        if match:
            return match.expand(replacement)
    return tag


def compare(before: Record, after: Record, table: Mapping[str, str], ignored: Sequence[str] = TIME_TAGS) -> Comparison:
    """Compares two records.

    Args:
        before: The earlier record.
        after: The later record.
        table: Regular expressions of tags of ``before`` and their replacements, as `re.Match.expand` takes them.
        ignored: Regular expressions of present tags that are not compared.

    Raises:
        ValueError: Two tags of ``before`` have the same present name.
    """
    present: dict[str, Sequence[Sequence[float]]] = {}
    for tag, points in before.items():
        name = renamed(tag, table)
        if name in present:
            raise ValueError(f"table: two tags are renamed to {name!r}; every present tag must have one origin.")
        present[name] = points
    times = {tag for tag in (*present, *after) if any(re.fullmatch(expression, tag) for expression in ignored)}
    both = sorted((present.keys() & after.keys()) - times)
    differing = [tag for tag in both if _bits(present[tag]) != _bits(after[tag])]
    return Comparison(
        compared=tuple(both),
        differing=tuple(differing),
        only_before=tuple(sorted(present.keys() - after.keys() - times)),
        only_after=tuple(sorted(after.keys() - present.keys() - times)),
        ignored=tuple(sorted(times)),
    )


def _bits(points: Sequence[Sequence[float]]) -> list[tuple[int, bytes]]:
    """Steps and the bytes of the values: 0.0 differs from -0.0, and NaN equals the same NaN."""
    return [(int(step), struct.pack("<d", value)) for step, value in points]


def print_comparison(found: Comparison) -> None:
    """Prints what differs, what is missing on either side, and the figure."""
    for tag in found.differing:
        print(f"differs: {tag}")
    for tag in found.only_before:
        print(f"only before: {tag}")
    for tag in found.only_after:
        print(f"only after: {tag}")
    print(f"{len(found.compared)} tags compared, {len(found.ignored)} tags with measured times ignored")
    print_figures([Figure("golden_tags_differing", len(found.differing), 0, at_most=True)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record", help="write the scalars of the newest run below a folder")
    record.add_argument("out", type=Path, metavar="OUT.json")
    record.add_argument("--run-dir", type=Path, required=True, help="folder of TensorBoard runs")
    comparison = commands.add_parser("compare", help="compare two records")
    comparison.add_argument("before", type=Path, metavar="BEFORE.json")
    comparison.add_argument("after", type=Path, metavar="AFTER.json")
    args = parser.parse_args(arguments)
    if args.command == "record":
        run = newest_run(args.run_dir)
        scalars = read_run(run)
        write_record(args.out, scalars)
        print(f"{len(scalars)} tags of {run}")
    else:
        table = json.loads(RENAMED_TAGS.read_text())
        print_comparison(compare(read_record(args.before), read_record(args.after), table))


if __name__ == "__main__":
    main()
