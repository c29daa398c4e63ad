"""Lists the checks of this topic, and runs those that ``--run`` names.

    python -m benchmarks.safety [--run NAME ...]

Each check is also a command of its own with further options, e.g. ``python -m benchmarks.safety.ddp --quick``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.reporting import ROOT, subprocess_environment

#: What every check compares, and whether it runs without arguments.
CHECKS = {
    "bitwise_identity": ("training with and without the callback, bit for bit", True),
    "kill_and_resume": ("runs killed by SIGKILL and resumed, with uninterrupted ones", True),
    "memory": ("the peak memory of an observation with that of a validation step", True),
    "ddp": ("one measurement on 1, 2 and 4 processes", True),
    "first_step": ("the time to the first step with a slow dataset, with and without the callback", True),
    "lightning_examples": ("Lightning's own example scripts with the callback added; needs --examples", False),
    "golden_record": ("every scalar of a run with the record of an earlier version; needs a subcommand", False),
}


def main() -> None:
    """Prints the list, or runs the named checks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runnable = [name for name, (_, without_arguments) in CHECKS.items() if without_arguments]
    parser.add_argument("--run", nargs="+", choices=runnable, default=[], metavar="NAME", help=", ".join(runnable))
    args = parser.parse_args()
    if not args.run:
        for name, (description, _) in CHECKS.items():
            print(f"python -m benchmarks.safety.{name}: compares {description}")
    for name in args.run:
        command = [sys.executable, "-m", f"benchmarks.safety.{name}"]
        subprocess.run(command, check=True, cwd=ROOT, env=subprocess_environment())


if __name__ == "__main__":
    main()
