"""Compares what can be handed over on the 73 runs of the earlier parts, leaving tasks and regimes out.

    python -m benchmarks.stopping.campaign.third_search [--records DIR]

For each family two regrets are computed: that of its best member on all runs, which is optimistic, and that of the
member chosen without a task and applied to that task. Records of the third part are never opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from benchmarks.reporting import markdown_table, write_json, write_section
from benchmarks.stopping.campaign import candidates, tables
from benchmarks.stopping.campaign.derive import RECORDS
from benchmarks.stopping.campaign.handed_over import Averaged, averaged, score
from benchmarks.stopping.campaign.tasks import CONFIRMATION, DEVELOPMENT
from benchmarks.stopping.campaign.third_candidates import controls, renamed
from benchmarks.stopping.make_records import read
from benchmarks.stopping.replay import Candidate, Outcome, capped
from benchmarks.stopping.report import Scores
from benchmarks.stopping.search import leave_tasks_out

OFFSETS = (0, 3, 5, 8, 10)
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
AVERAGES = {"polynomial": "averaged", "swa": "plain mean of the later half"}
IMAGES = ("mnist", "cifar10")
#: What is left out together: the name in the figures, and the field of a task.
GROUPS = {"task": "name", "regime": "regime", "data_set": "dataset"}


def members() -> dict[str, list[Candidate]]:
    """The families, each a list of candidates with names of their own."""
    found: dict[str, list[Candidate]] = {}
    for stop in candidates.chosen():
        found[f"{stop.name}: kept epoch"] = [renamed(stop, f"{stop.name}, kept")]
        for average, words in AVERAGES.items():
            found[f"{stop.name}: {words}"] = [
                renamed(averaged(stop, average, offset), f"{stop.name}, {words} +{offset}") for offset in OFFSETS
            ]
    found["both: everything above"] = [candidate for family in found.values() for candidate in family]
    found["a fixed share of the epochs, averaged"] = [
        Averaged(f"share {share:g}", "hindsight", share, epochs_after=0) for share in SHARES
    ]
    for control in controls():
        found[control.name] = [control]
    for split in candidates.baselines():
        if split.signal is not None:
            found[split.name] = [split]
            found[f"{split.name}, averaged"] = [averaged(split)]
    return found


def text_of(found: Scores, name: str) -> tuple[str, ...]:
    """The measures of a member beside its regret: worst regime, healthy runs, plateaus, noisy annealed."""
    row = found[name]
    regime, worst = tables.worst_regime(found, row)
    stopped, healthy = tables.healthy_stopped(found, row)
    low, plateaus = tables.plateaus_too_low(found, row)
    annealed = tables.mean_regret(row, tables.cell_places(found, "noisy annealed"))
    return f"{worst:.2f} ({regime})", f"{stopped} of {healthy}", f"{low} of {plateaus}", f"{annealed:.2f}"


def table(found: Scores, families: dict[str, list[Candidate]]) -> tuple[str, dict[str, dict[str, float]]]:
    """One row per family, and its figures.

    Args:
        found: The scores of all members.
        families: The families.
    """
    groups = {kind: [task[key] for task in found.tasks] for kind, key in GROUPS.items()}
    rows = []
    figures = {}
    for name, family in families.items():
        scored: list[list[Outcome]] = [list(found[member.name].outcomes) for member in family]
        in_sample = [mean(capped(outcomes)) for outcomes in scored]
        best = min(range(len(family)), key=lambda member: in_sample[member])
        left_out = {kind: leave_tasks_out(scored, names) for kind, names in groups.items()}
        figures[name] = {
            "in_sample": in_sample[best],
            **{f"{kind}_left_out": mean(capped(outcomes)) for kind, outcomes in left_out.items()},
            "points": mean(outcome.points for outcome in left_out["task"]),
        }
        rows.append(
            (
                name,
                str(len(family)),
                *(f"{value:.3f}" if key != "points" else f"{value:.2f}" for key, value in figures[name].items()),
                family[best].name,
                *text_of(found, family[best].name),
            )
        )
    left_out_columns = [f"{kind.replace('_', ' ')} left out" for kind in GROUPS]
    header = ("family", "members", "regret, in sample", *left_out_columns, "points, task left out", "best member",
              "its worst regime", "healthy stopped early", "plateaus too low", "noisy annealed")  # fmt: skip
    return markdown_table(header, rows), figures


def load(folder: Path, images_only: bool) -> list[dict[str, object]]:
    """The records of the earlier parts."""
    chosen: Sequence[str] = [
        f"{task.name}-s{task.seeds[0]}"
        for task in (*DEVELOPMENT, *CONFIRMATION)
        if not images_only or task.dataset in IMAGES
    ]
    return [read(folder / f"{name}.json.gz") for name in chosen]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    families = members()
    everyone = {candidate.name: candidate for family in families.values() for candidate in family}
    sections = []
    payload = {}
    for words, images_only in (("all kinds", False), ("image classifiers", True)):
        records = load(args.records, images_only)
        found, figures = table(Scores(list(everyone.values()), records, score), families)
        payload[words] = figures
        sections.append(f"{len(records)} runs, {words}:\n\n{found}")
    text = (
        "## Stopping without labels: what is handed over, the choice before the third part\n\n"
        "`python -m benchmarks.stopping.campaign.third_search`: the 73 runs of the earlier parts, now development.\n\n"
    )
    write_section("stopping", "third_search", text + "\n\n".join(sections))
    write_json("stopping", "third_search", payload)


if __name__ == "__main__":
    main()
