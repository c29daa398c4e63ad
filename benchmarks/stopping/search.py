"""Scores every family of rules that was tried on the development records, leaving tasks out.

    python -m benchmarks.stopping.search [--records DIR]

For each family (`families`) two regrets are computed: that of its best member on all development records, which is
optimistic, and that of the member chosen without a task and applied to that task, for every task in turn. Confirmation
records are never opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.reporting import markdown_table, write_json, write_section
from benchmarks.stopping.candidates import default
from benchmarks.stopping.families import families
from benchmarks.stopping.replay import RECORDS, Candidate, Outcome, Record, capped, load, outcome


@dataclass(frozen=True)
class Idea:
    """A family of rules and its scores.

    Attributes:
        name: Name in the table.
        members: Number of members.
        best: The member with the lowest mean regret, and its outcomes.
        left_out: For every record, the outcome of the member that is best on the other tasks.
    """

    name: str
    members: int
    best: tuple[Candidate, Sequence[Outcome]]
    left_out: Sequence[Outcome]


def leave_tasks_out(scored: Sequence[Sequence[Outcome]], tasks: Sequence[str]) -> list[Outcome]:
    """For each record, the outcome of the candidate with the lowest mean regret on the records of other tasks.

    Args:
        scored: The outcomes of each candidate on all records.
        tasks: The name of each record's task.
    """
    regrets = [capped(row) for row in scored]
    found = []
    for i, task in enumerate(tasks):
        others = [k for k, name in enumerate(tasks) if name != task]
        choice = min(range(len(scored)), key=lambda c: mean(regrets[c][k] for k in others))
        found.append(scored[choice][i])
    return found


def search(records: Sequence[Record]) -> list[Idea]:
    """Scores every family, and finally the union of all label-free families."""
    tasks = [r["task"]["name"] for r in records]
    if len(set(tasks)) < 2:
        raise SystemExit(f"--records: leaving a task out needs at least two tasks, found {sorted(set(tasks))}.")
    ideas = []
    everyone = []
    for name, members in {"the default": [default()], **families()}.items():
        scored = [[outcome(c, r) for r in records] for c in members]
        best = min(range(len(members)), key=lambda c: mean(capped(scored[c])))
        ideas.append(Idea(name, len(members), (members[best], scored[best]), leave_tasks_out(scored, tasks)))
        everyone += [(c, row) for c, row in zip(members, scored) if c.label_free]
    rows = [row for _, row in everyone]
    best = min(range(len(rows)), key=lambda c: mean(capped(rows[c])))
    ideas.append(Idea("all label-free ideas together", len(rows), everyone[best], leave_tasks_out(rows, tasks)))
    return ideas


def table(ideas: Sequence[Idea], records: Sequence[Record]) -> str:
    """One row per family, sorted by the regret with tasks left out."""
    cosine = [i for i, r in enumerate(records) if r["task"]["schedule"] == "cosine"]
    healthy = [i for i, r in enumerate(records) if r["task"]["healthy"]]
    rows = []
    for idea in sorted(ideas, key=lambda i: mean(capped(i.left_out))):
        member, outcomes = idea.best
        rows.append(
            (
                idea.name + ("" if member.label_free else " *"),
                str(idea.members),
                f"{mean(capped(idea.left_out)):.2f}",
                f"{max(o.regret for o in idea.left_out):.1f}",
                f"{mean(o.points for o in idea.left_out):.1f}",
                f"{max((idea.left_out[i].below_last for i in cosine), default=float('nan')):.1f}",
                f"{sum(idea.left_out[i].premature for i in healthy)} of {len(healthy)}",
                f"{mean(capped(outcomes)):.2f}: {member.name}",
            )
        )
    header = ("idea", "members", "regret, task left out", "worst", "points lost",
              "cosine: most points below the last epoch", "premature: healthy",
              "best member, on all tasks")  # fmt: skip
    return markdown_table(header, rows)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    records = load(args.records, "dev")
    ideas = search(records)
    text = (
        "## Stopping without labels: what was tried\n\n"
        f"`python -m benchmarks.stopping.search`: {len(records)} development records. Every idea is a family of "
        "rules (signals, patience); the member is chosen by its mean regret on all other tasks and tried on the task "
        "left out. * needs training labels.\n\n" + table(ideas, records)
    )
    write_section("stopping", "search", text)
    payload = {
        idea.name: {
            "members": idea.members,
            "left_out_regret": mean(capped(idea.left_out)),
            "left_out": [o.regret for o in idea.left_out],
            "best": idea.best[0].name,
            "best_regret": mean(capped(idea.best[1])),
        }
        for idea in ideas
    }
    write_json("stopping", "search", {"records": [r["record"] for r in records], "ideas": payload})


if __name__ == "__main__":
    main()
