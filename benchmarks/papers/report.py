"""The section of the README: claim, conclusion, table and figure of every experiment, from the results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.papers import classes, conclusions, epochs, epochs_controls, groups, sorted_loader, subsets
from benchmarks.papers.report_epochs import epochs_section
from benchmarks.papers.report_groups import groups_section
from benchmarks.papers.settings import BATCH, FULL, RATE
from benchmarks.reporting import markdown_table

COMMAND = "python -m benchmarks.papers --data-dir DATA"
#: Saini and Papalexakis (2018), two papers.
FACTORIZATION_PAPER = "“Characterizing & exploring …”"
PEEK_PAPER = "“A peek into the hidden layers …”"
METHOD = f"""Small CNNs on MNIST: three convolutions, one hidden layer, Adam at {RATE:g}, batches of {BATCH}. All
networks are measured on the same probe of {FULL.probe} unlabelled test images. The networks of the first two parts take
{FULL.steps} optimizer steps each (one epoch of 60,000 images), however few images or classes they have, so that they do
not differ in the amount of training.

**Area** is the mean error over ranks 1 to {FULL.ranks[-1]} on a log scale: the higher the curve, the higher the rank
the network needs. There are four errors, as the papers do not define theirs: the *raw RMSE* of their objective, in
which every pixel and neuron counts once; the error of the same objective relative to the norm of the data (*raw
relative error*); the relative error with equal weight of the inputs and of every layer (*unit-norm relative error*, the
lens's default); and the part of it that belongs to the *activations alone*. Intervals are 95 %, bootstrap over seeds;
with so few seeds they are rather too narrow.

{conclusions.ORDER_HOLDS} {conclusions.QUALITY_HOLDS}"""


def section(rows: Mapping[str, Any]) -> str:
    """The section with everything that has been measured."""
    parts: dict[str, Callable[[Any], str]] = {
        "classes": lambda m: groups_section(m, classes.TITLE, "classes"),
        "subsets": lambda m: groups_section(m, subsets.TITLE, "images"),
        "epochs": epochs_section,
        "sorted": _sorted,
    }
    date = max(row["date"] for row in rows.values())
    minutes = sum(row["seconds"] for row in rows.values()) / 60
    measured = [part(rows[name]["measured"]) for name, part in parts.items() if name in rows]
    return "\n\n".join([
        "## The papers' observations, measured again",
        f"`{COMMAND}` (`--only classes subsets epochs sorted` for some of it), {date[:10]}, {minutes:.0f} processor "
        "minutes. Every conclusion is computed from the tables below, by the thresholds named there.",
        markdown_table(("claim", "where", "found"), headlines(rows)),
        METHOD,
        *measured,
    ])  # fmt: skip


def headlines(rows: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every claim, its source and the conclusion."""
    found = summaries(rows)
    said = []
    for name, what, where in (("classes", "classes", "2a"), ("subsets", "images", "2b")):
        if name in found:
            order, quality = conclusions.groups(found[name])
            said.append((f"trained on more {what}, higher rank", f"{FACTORIZATION_PAPER}, Fig. {where}", order))
            said.append(("the worse a network, the lower its rank (two controls joined)", f"Fig. {where}", quality))
    if "epochs" in found:
        conclusion = conclusions.epochs(found["epochs"]["records"], found["epochs"]["controls"], "RMSE")
        said.append(
            ("the RMSE per epoch has the pattern of the test loss", f"{FACTORIZATION_PAPER}, Fig. 2c", conclusion)
        )
    if "sorted" in found:
        said.append(
            ("trained on class-sorted batches, lower rank", PEEK_PAPER, conclusions.sorted_loader(found["sorted"]))
        )
    return said


def summaries(rows: Mapping[str, Any]) -> dict[str, Any]:
    """The estimates of the section, by experiment."""
    makers: dict[str, Callable[[Any], Any]] = {
        "classes": groups.summary,
        "subsets": groups.summary,
        "epochs": lambda m: {
            "records": epochs.summary(m["records"]), "controls": epochs_controls.summary(m["controls"])
        },
        "sorted": sorted_loader.summary,
    }  # fmt: skip
    return {name: make(rows[name]["measured"]) for name, make in makers.items() if name in rows}


def _sorted(nets: Sequence[Mapping[str, Any]]) -> str:
    summary = sorted_loader.summary(nets)
    spec = {"accuracy": ".1%", "RankMe": ".1f", "rank@30%": ".1f", "rank@50%": ".1f"}
    table = markdown_table(
        ("", "sorted", "shuffled", "sorted minus shuffled", "lower when sorted", "p"),
        [(name, *(f"{f[loader].value:{s}}" for loader in sorted_loader.LOADERS), f["difference"].signed("+" + s),
          f"{f['below']} of {f['of']}", f"{f['p']:.3f}")
         for name, f in summary.items() for s in (spec.get(name, ".4f"),)],
    )  # fmt: skip
    capped = sum(n["rank_at"]["0.3"][1] for n in nets)
    sorted_accuracy = summary["accuracy"]["sorted"].value
    note = f" rank@30% is only a lower bound for {capped} of these networks." if capped else ""
    return "\n\n".join([
        f"### {sorted_loader.TITLE}",
        conclusions.SORTED_HOLDS,
        "![Error against rank and accuracy by epoch, sorted and shuffled](../../docs/papers/sorted.png)",
        f"Pairs of networks with the same initial weights, images ({FULL.sorted_images:,}) and number of steps, after "
        f"{len(nets[0]['accuracies'])} epochs. "
        f"The sorted ones classify {sorted_accuracy:.0%} correctly, tested after class 9." + note,
        table,
    ])  # fmt: skip
