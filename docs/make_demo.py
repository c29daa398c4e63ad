"""Runs the demo and writes its lines into the README: ``make readme``.

The table is shortened to the untrained network, the epoch whose weights were restored, or the last
one of which they are an average, and the last of all.
Figures differ in the last digits between machines.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- demo: begin -->"
END = "<!-- demo: end -->"
GAP = "   …"
#: The untrained network, whose observation is full.
FIRST = 0


def demo_output(folder: str) -> str:
    """What the demo prints on the standard output."""
    command = [sys.executable, str(ROOT / "examples" / "digits.py"), "--log-dir", folder]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def shortened(output: str) -> str:
    """The demo's table without most of its epochs, and the lines below it but for the commands with a folder.

    Raises:
        ValueError: The output has no table, or no line about the restored weights.
    """
    lines = output.splitlines()
    restored = re.search(r"with the weights that the model has now \(.*epoch (\d+)\)", output)
    epochs = [int(number) for number in re.findall(r"^ +(\d+)  .* \| ", output, re.MULTILINE)]
    if restored is None or not epochs:
        raise ValueError("The demo's output has no table of epochs or no line about the restored weights.")
    shown = {FIRST, int(restored[1]), epochs[-1]}
    start = next(i for i, line in enumerate(lines) if line.startswith("epoch "))
    kept = []
    for line in lines[start:]:
        row = re.match(r" +(\d+)  .* \| ", line)
        if line.startswith(("To see the curves", "To share what")):
            continue
        if row is None or int(row[1]) in shown:
            kept.append(line.rstrip())
        elif kept[-1] != GAP:
            kept.append(GAP)
    return "\n".join(kept)


def with_demo(page: str, output: str) -> str:
    """The page with the demo's output between its two comments."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n```\n{shortened(output)}\n```\n{END}{after}"


def main() -> None:
    """Runs the demo and rewrites the README."""
    with tempfile.TemporaryDirectory() as folder:
        output = demo_output(folder)
    print(output)
    README.write_text(with_demo(README.read_text(encoding="utf-8"), output), encoding="utf-8")


if __name__ == "__main__":
    main()
