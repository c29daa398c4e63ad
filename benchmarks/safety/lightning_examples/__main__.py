"""Runs Lightning's own example scripts, unchanged, with the lens added to their Trainer.

    python -m benchmarks.safety.lightning_examples --examples CHECKOUT [--data-dir MNIST] [--only WORD]

CHECKOUT is a checkout of Lightning's repository. Each script runs for a few batches of two epochs on the CPU, in its
own process and an empty folder. What it would download is replaced by random data, except MNIST if ``--data-dir`` holds
torchvision's files. A script runs first with ``FactorLensCallback()``; if that ends with the callback's error before
training, it runs once more with the arguments that the error asks for.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import (
    Figure,
    machine,
    markdown_table,
    print_figures,
    subprocess_environment,
    write_json,
    write_section,
)
from benchmarks.safety.lightning_examples.examples import EXAMPLES, Example

#: Seconds after which a script is ended.
TIMEOUT = 900
#: Parts of the errors by which the callback asks for arguments.
REQUESTS = (
    "calls your LightningModule on a batch of inputs",
    "found no validation dataloader",
    "found no activation function",
)
#: Part of the warning after a failed measurement.
FAILED = "could not observe"


def logged_tags(folder: Path) -> list[str]:
    """The callback's tags in TensorBoard's files below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags: set[str] = set()
    for file in folder.rglob("events.out.tfevents*"):
        tags |= set(EventAccumulator(str(file)).Reload().Tags()["scalars"])
    return sorted(tag for tag in tags if tag.startswith("factorlens"))


def run(example: Example, lens: str, args: argparse.Namespace) -> tuple[int, str, list[str]]:
    """Runs one script.

    Returns:
        The exit code, the last line that the callback wrote (or else the last line of all), and the callback's tags.
    """
    script = (args.examples / "examples" / "pytorch" / example.script).resolve()
    arguments = [str(script), "--lens", lens, "--arguments", shlex.join(example.arguments)]
    if args.data_dir:
        arguments += ["--data-dir", str(args.data_dir.resolve())]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.safety.lightning_examples.runner", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=folder,
            env=subprocess_environment(),
        )
        tags = logged_tags(Path(folder))
    lines = done.stderr.strip().splitlines() or [""]
    from_callback = [line for line in lines if any(words in line for words in (*REQUESTS, FAILED))]
    return done.returncode, (from_callback or lines)[-1][:400], tags


def run_with_and_without_arguments(example: Example, args: argparse.Namespace) -> dict[str, object]:
    """Runs a script with the default callback and, if the callback asks for arguments, once more with them."""
    code, message, tags = run(example, "", args)
    asked = bool(code) and any(words in message for words in REQUESTS)
    request = message if asked else ""
    if asked and example.lens:
        code, message, tags = run(example, example.lens, args)
    ran = code == 0 and bool(tags) and FAILED not in message
    return {
        "script": example.script,
        "ran": ran,
        "lens": f"FactorLensCallback({example.lens if asked else ''})",
        "tags": len(tags),
        "first": tags[:6],
        "message": request if ran else message,
    }


def section(rows: Sequence[dict[str, Any]]) -> str:
    """The section of the README."""
    cells = []
    for row in rows:
        ran = "yes" if row["ran"] else "no"
        cells.append((f"`{row['script']}`", ran, f"`{row['lens']}`", str(row["tags"]), str(row["message"])))
    summary = (__doc__ or "").splitlines()[0]
    command = "`python -m benchmarks.safety.lightning_examples --examples CHECKOUT`"
    header = ("script", "ran", "what was added", "tags", "what the lens said to its default")
    return f"## Lightning's own examples\n\n{command}: {summary}\n\n{markdown_table(header, cells)}"


def main() -> None:
    """Runs the scripts, writes the results and prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, required=True, help="a checkout of Lightning's repository")
    parser.add_argument("--data-dir", type=Path, help="folder with torchvision's MNIST; random data if not given")
    parser.add_argument("--only", default="", help="run only scripts whose name contains this word; write nothing")
    args = parser.parse_args()
    rows = []
    for example in EXAMPLES:
        if args.only in example.script:
            rows.append(run_with_and_without_arguments(example, args))
            print(rows[-1], flush=True)
    figures = [Figure("lightning_examples_ran", sum(bool(row["ran"]) for row in rows), 5)]
    if not args.only:
        write_json("safety", "lightning_examples", {"machine": machine(["lightning"]), "rows": rows}, figures)
        write_section("safety", "lightning_examples", section(rows))
    print_figures(figures)


if __name__ == "__main__":
    main()
