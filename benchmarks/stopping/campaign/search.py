"""Scores families of signals on the development runs of the second campaign, leaving tasks out.

    python -m benchmarks.stopping.campaign.search [--records DIR]

For each family two regrets are computed: that of its best member on all runs, which is optimistic, and that of the
member chosen without a task and applied to that task, for every task in turn. Confirmation records are never opened.
The frozen rule was chosen with eleven runs of the first campaign besides, which were trained anew for it and whose raw
outputs are not kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.reporting import markdown_table, write_json, write_section
from benchmarks.stopping.campaign.candidates import candidates, ours
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.tasks import DEVELOPMENT
from benchmarks.stopping.make_records import read
from benchmarks.stopping.replay import Candidate, Record, capped, outcome
from benchmarks.stopping.search import leave_tasks_out

IMBALANCES = (1.0, 2.0, 3.0, 4.0)
GAPS = (0.5, 0.75, 1.0, 1.25, 1.5)


def member(terms: dict[str, float]) -> Candidate:
    """A candidate whose name lists its weights."""
    name = ", ".join(f"{weight:g} {term}" for term, weight in terms.items() if term != "begun")
    return ours(name, {**terms, "begun": 1.0})


def mixed(plain: float, imbalance: float, **further: float) -> Candidate:
    """A share of the plain loss, the rest of the perturbed one, and further terms."""
    terms = {"plain_loss": plain, "perturbed_loss": 1 - plain, "imbalance": imbalance, **further}
    return member({name: weight for name, weight in terms.items() if weight})


def families() -> dict[str, list[Candidate]]:
    """The families by name."""
    scales = (0.25, 0.5, 1.0, 2.0)
    found = {
        "the frozen default": [candidates()[0]],
        "perturbed loss and imbalance": [mixed(0, b) for b in IMBALANCES],
        "… + divergence": [mixed(0, b, divergence=s) for b, s in product(IMBALANCES, scales)],
        "… + 1 / epoch (its clock)": [mixed(0, b, clock=s) for b, s in product(IMBALANCES, scales)],
        "… + disagreement": [mixed(0, b, disagreement=s) for b, s in product(IMBALANCES, scales)],
        "… + loss of the disagreeing": [mixed(0, b, disagreeing=s) for b, s in product(IMBALANCES, scales)],
        "… + gap": [mixed(0, b, memorization_gap=g) for b, g in product(IMBALANCES, GAPS)],
        "… + epoch (the gap's clock)": [
            mixed(0, b, epoch=s / 50, clock=1.0) for b, s in product(IMBALANCES, (0.1, 0.2, 0.4, 0.8))
        ],
    }
    shares = (0.3, 0.5, 0.6, 0.7)
    found["half plain loss, imbalance"] = [mixed(p, b) for p, b in product(shares, IMBALANCES)]
    found["half plain loss, imbalance, epoch (the gap's clock)"] = [
        mixed(p, b, epoch=s / 50, clock=1.0) for p, b, s in product(shares, IMBALANCES, (0.1, 0.2, 0.4, 0.8))
    ]
    found["half plain loss, imbalance, gap (the default's)"] = [
        mixed(p, b, memorization_gap=g) for p, b, g in product(shares, IMBALANCES, GAPS)
    ]
    return found


def table(records: Sequence[Record]) -> tuple[str, dict[str, float]]:
    """One row per family, and the regrets with tasks left out."""
    tasks = [record["task"]["name"] for record in records]
    rows = []
    regrets = {}
    for name, members in families().items():
        scored = [[outcome(candidate, record) for record in records] for candidate in members]
        best = min(range(len(members)), key=lambda c: mean(capped(scored[c])))
        left_out = leave_tasks_out(scored, tasks)
        regrets[name] = mean(capped(left_out))
        rows.append(
            (
                name,
                str(len(members)),
                f"{regrets[name]:.3f}",
                f"{mean(o.points for o in left_out):.2f}",
                f"{mean(capped(scored[best])):.3f} / {mean(o.points for o in scored[best]):.2f}: {members[best].name}",
            )
        )
    header = ("family", "members", "regret, task left out", "points, task left out", "best member, on all tasks")
    return markdown_table(header, rows), regrets


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    paths = [args.records / f"{task.name}-s{task.seeds[0]}.json.gz" for task in DEVELOPMENT]
    records = [read(path) for path in paths if path.exists()]
    found, regrets = table(records)
    text = (
        "## Stopping without labels, second campaign: what was tried\n\n"
        f"`python -m benchmarks.stopping.campaign.search`: {len(records)} development runs. All families have the "
        "default's rule; the member is chosen by its mean regret on all other tasks and tried on the task left out."
        "\n\n" + found
    )
    write_section("stopping", "second_search", text)
    write_json("stopping", "second_search", {"left_out_regret": regrets})


if __name__ == "__main__":
    main()
