"""Trains in many ways with and without the lens, and compares everything, bit for bit.

    python -m benchmarks.safety.bitwise_identity [--quick] [--only WORD ...] [--list]

There are two kinds of set-ups. In the first, any two settings (model, precision, compilation, optimizer, schedule,
validation, augmentation, averaging of weights, lens, accumulation, loader workers, processes, resuming) occur together
at least once. The second are the situations: trainings as users write them, each with an object whose state a careless
callback would change, such as a dataset with a generator of its own or a model with a hidden state.

Compared are, in every process: Lightning's checkpoint without the lens's own part; weights and buffers with their order
in memory; gradients; optimizers; every value that the user logged; the batch that each training and validation step
got; the random states of torch, numpy and Python; the loaders with their datasets, samplers, collate functions and
generators; everything that modules hold in Python attributes; every module's training flag and hooks. A set-up counts
only if the lens has measured and never failed, or, where it is made to fail, has failed. The number of graphs that
torch compiled is reported as well.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, results_path, write_json, write_section
from benchmarks.safety.bitwise_identity.compare import DIFFERENT, IDENTICAL, IMPOSSIBLE, compare_in_subprocess
from benchmarks.safety.bitwise_identity.setups import KINDS, SetUp, every_pair
from benchmarks.safety.bitwise_identity.situations.base import Situation
from benchmarks.safety.bitwise_identity.situations.registry import SITUATIONS

NAME = "bitwise_identity"

#: A set-up and the result of its comparison.
Row = tuple[SetUp | Situation, dict[str, Any]]


def earlier_rows() -> dict[str, dict[str, Any]]:
    """The results of the last run, by the set-up's name."""
    path = results_path("safety", f"{NAME}.json")
    if not path.exists():
        return {}
    return {row["set-up"]: row for row in json.loads(path.read_text())["rows"]}


def count(rows: Sequence[Row], result: str) -> int:
    """How many set-ups ended with a result."""
    return sum(row["result"] == result for _, row in rows)


def section(rows: Sequence[Row], quick: bool) -> str:
    """The section of the README."""
    measurements = sum(row["measurements"] for _, row in rows)
    exceptions = []
    everything = []
    for number, (setup, row) in enumerate(rows, 1):
        everything.append((str(number), str(setup), str(row["measurements"]), row["result"]))
        if row["result"] != IDENTICAL:
            exceptions.append((str(number), str(setup), row["result"], row["differences"]))
    recompiled = [setup for setup, row in rows if len(set(row.get("graphs", [0]))) > 1]
    whole = sum(isinstance(setup, SetUp) and setup.compile.startswith("whole") for setup in recompiled)
    topics = Counter(setup.topic for setup, _ in rows if isinstance(setup, Situation))
    kinds = "; ".join(f"{kind} ({', '.join(map(str, values))})" for kind, values in KINDS.items())
    coverage = "A third of the set-ups" if quick else "Any two settings that can be combined are combined at least once"
    exception_table = markdown_table(("#", "set-up", "result", "what differs"), exceptions)
    return f"""## Bitwise identity{" (quick run)" if quick else ""}

`python -m benchmarks.safety.bitwise_identity`: {count(rows, IDENTICAL)} set-ups end bit for bit the same with and
without the lens, {count(rows, DIFFERENT)} do not; {measurements} measurements. {count(rows, IMPOSSIBLE)} cannot be
trained at all. {len(rows) - topics.total()} of them combine settings: {kinds}. {coverage}. The other {topics.total()}
are trainings as users write them: {", ".join(f"{topic} ({n})" for topic, n in topics.items())}.

{exception_table if exceptions else "No exception."}

Torch compiled another number of graphs in {len(recompiled)} set-ups, {whole} of which compile the whole
LightningModule: Lightning's own `log` is then compiled too, and again whenever a callback has logged more values. The
weights stay the same.

<details><summary>All set-ups</summary>

{markdown_table(("#", "set-up", "measurements", "result"), everything)}

</details>"""


def compare_all(setups: Sequence[SetUp | Situation], words: Sequence[str]) -> list[Row]:
    """Compares the set-ups whose name contains one of the words; the others keep their earlier result, if any."""
    earlier = earlier_rows() if words else {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, setup in enumerate(setups, 1):
            if not words or any(word in str(setup) for word in words):
                row = compare_in_subprocess(setup, Path(folder) / "run")
                rows.append((setup, row))
                said = f"{row['result']}, {row['measurements']} measurements {row['differences']}"
                print(f"{number}/{len(setups)} {setup}: {said}", flush=True)
            elif str(setup) in earlier:
                rows.append((setup, earlier[str(setup)]))
    return rows


def main() -> None:
    """Runs the comparisons, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the set-ups")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="only set-ups whose name contains a word")
    parser.add_argument("--list", action="store_true", help="print the names of all set-ups and run none")
    args = parser.parse_args()
    setups: list[SetUp | Situation] = [*every_pair(), *SITUATIONS]
    setups = setups[:: 3 if args.quick else 1]
    if args.list:
        print(*setups, sep="\n")
        return
    rows = compare_all(setups, args.only)
    figures = [
        Figure("identical_setups", count(rows, IDENTICAL), 130),
        Figure("differing_setups", len(rows) - count(rows, IDENTICAL), 0, at_most=True),
    ]
    table = [{"set-up": str(setup), **row} for setup, row in rows]
    write_json("safety", NAME, {"machine": machine(["lightning"]), "quick": args.quick, "rows": table}, figures)
    write_section("safety", NAME, section(rows, args.quick))
    print_figures(figures)


if __name__ == "__main__":
    main()
