"""Trains in many ways with and without the lens, and compares everything, bit for bit.

    python -m benchmarks.safety.bitwise_identity [--quick] [--only WORD]

Any two settings (model, precision, compilation, optimizer, schedule, validation, augmentation, averaging of weights,
lens, accumulation, loader workers, processes, resuming) meet in at least one set-up. Compared are, of every process,
Lightning's checkpoint without the lens's own part, weights and buffers with their order in memory, gradients,
optimizers, every value the user logged, the random states of torch, numpy and Python, every module's training flag and
hooks. A set-up counts only where the lens has looked and never failed. How many graphs torch has compiled is told too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, results_path, write_json, write_section
from benchmarks.safety.bitwise_identity.compare import apart
from benchmarks.safety.bitwise_identity.setups import KINDS, SetUp, every_pair

NAME = "bitwise_identity"


def earlier() -> list[dict[str, Any]]:
    """The rows of the last run."""
    path = results_path("safety", f"{NAME}.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def report(rows: list[tuple[SetUp, dict[str, Any]]], quick: bool) -> tuple[str, list[Figure]]:
    """The section and the closing figures."""
    count = {v: sum(row["verdict"] == v for _, row in rows) for v in ("identical", "different", "impossible")}
    looks = sum(row["looks"] for _, row in rows)
    odd = [(str(i), str(s), r["verdict"], r["why"]) for i, (s, r) in enumerate(rows, 1) if r["verdict"] != "identical"]
    everything = [(str(i), str(s), str(r["looks"]), r["verdict"]) for i, (s, r) in enumerate(rows, 1)]
    more = [s for s, r in rows if len(set(r.get("graphs", [0]))) > 1]
    whole = sum(s.compile.startswith("whole") for s in more)
    kinds = "; ".join(f"{k} ({', '.join(str(v) for v in vs)})" for k, vs in KINDS.items())
    text = f"""## Do no harm{" (quick run)" if quick else ""}

`python -m benchmarks.safety.bitwise_identity`: {count["identical"]} set-ups end bit for bit the same with and without the lens,
{count["different"]} do not; {looks} looks. {count["impossible"]} cannot be trained at all. Settings: {kinds}.
{"A third of the set-ups" if quick else "Any two settings that can go together do so at least once"}.

{markdown_table(("#", "set-up", "verdict", "what differs"), odd) if odd else "No exception."}

Torch compiled another number of graphs in {len(more)} set-ups, {whole} of which compile the whole LightningModule:
Lightning's own `log` is then compiled too, and again whenever a callback has logged more values. Weights stay the same.

<details><summary>All set-ups</summary>

{markdown_table(("#", "set-up", "looks", "verdict"), everything)}

</details>"""
    figures = [
        Figure("setups_identical", count["identical"], 60),
        Figure("setups_differing", count["different"], 0, True),
    ]
    return text, figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the set-ups")
    parser.add_argument("--only", default="", help="only set-ups whose name holds this are run anew")
    args = parser.parse_args()
    setups = every_pair()[:: 3 if args.quick else 1]
    known = {SetUp(**{k: row[k] for k in KINDS}): row for row in (earlier() if args.only else [])}
    rows: list[tuple[SetUp, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, setup in enumerate(setups, 1):
            if args.only in str(setup):
                row = apart(setup, Path(folder) / "run")
                rows.append((setup, row))
                print(
                    f"{number}/{len(setups)} {setup}: {row['verdict']}, {row['looks']} looks {row['why']}", flush=True
                )
            elif setup in known:
                rows.append((setup, known[setup]))
    text, figures = report(rows, args.quick)
    table = [{**asdict(s), **r} for s, r in rows]
    write_json("safety", NAME, {"machine": machine(["lightning"]), "quick": args.quick, "rows": table}, figures)
    write_section("safety", NAME, text)
    print_figures(figures)


if __name__ == "__main__":
    main()
