"""Kills training runs with SIGKILL at random places, resumes them from Lightning's last checkpoint, and compares.

    python -m benchmarks.safety.kill_and_resume [--kills 10] [--seed 0]

Each kill ends a real process; the next process resumes from ``last.ckpt``, loaded with ``weights_only``. Every point
that the callback logged (tag, step and value) and the epoch at which `EarlyStopping` stopped must equal those of an
uninterrupted run.

Lightning 2.6 counts epochs wrong when a run is resumed a second time after a checkpoint of an epoch's last batch: the
training itself then differs, with or without the callback. Such checkpoints are therefore resumed from once, and the
final weights are compared as well.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.reporting import Figure, machine, markdown_table, print_figures, write_json, write_section
from benchmarks.safety.kill_and_resume.comparison import Outcome, compare
from benchmarks.safety.kill_and_resume.runs import RUNS, random_kills


def section(outcomes: Sequence[Outcome]) -> str:
    """The section of the README."""
    header = ("run", "killed", "points", "differing", "stopped after epoch", "killed one", "same weights")
    rows = []
    for o in outcomes:
        numbers = (o.kills, o.points, o.differing, o.stopped_whole, o.stopped_killed, o.same_weights)
        rows.append((o.run, *map(str, numbers)))
    summary = (__doc__ or "").splitlines()[0]
    text = f"## Killed and resumed\n\n`python -m benchmarks.safety.kill_and_resume`: {summary}\n\n"
    return text + markdown_table(header, rows)


def judge(outcomes: Sequence[Outcome]) -> list[Figure]:
    """The closing figures."""
    different_stops = sum(o.stopped_whole != o.stopped_killed for o in outcomes)
    return [
        Figure("resume_kills", sum(o.kills for o in outcomes), 10),
        Figure("resume_points_compared", sum(o.points for o in outcomes), 1000),
        Figure("resume_points_differing", sum(o.differing for o in outcomes), 0, at_most=True),
        Figure("resume_stop_epochs_differing", different_stops, 0, at_most=True),
        Figure("resume_trainings_differing", sum(not o.same_weights for o in outcomes), 0, at_most=True),
    ]


def main() -> None:
    """Runs all comparisons, writes the results and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="number of kills per run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the places of the kills")
    args = parser.parse_args()
    generator = random.Random(args.seed)
    outcomes = []
    for run in RUNS:
        kills = run.kills or random_kills(generator, args.kills)
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(compare(run, Path(folder), kills))
        print(outcomes[-1], flush=True)
    write_section("safety", "kill_and_resume", section(outcomes))
    figures = judge(outcomes)
    payload = {"machine": machine(("lightning",)), "runs": [asdict(o) for o in outcomes]}
    write_json("safety", "kill_and_resume", payload, figures)
    print_figures(figures)


if __name__ == "__main__":
    main()
