"""How much of a choice is luck: the parts of the default on half the probe and on every second epoch.

    python -m benchmarks.stopping.stress --raw RAW

A few records allow few conclusions, but each holds 256 probe images: the signal is computed again from random halves of
them, and from every second epoch only, so that the best epoch comes after half as many measurements. A part of the
default is justified if its figures hold under both. Only development records are used, from the raw records.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.reporting import markdown_table, write_json, write_section
from benchmarks.stopping.candidates import DIAGONALS, blind, careful
from benchmarks.stopping.make_records import read_raw
from benchmarks.stopping.replay import PIXELS, RECORDS, Candidate, Outcome, Record, Signal, capped, load, outcome
from benchmarks.stopping.signals.series import pseudo_labels
from lightning_factorlens.metrics.confidence import kl_to_uniform
from lightning_factorlens.metrics.consistency import pseudo_label_cross_entropy
from lightning_factorlens.stopping import Patience, Rule, Smoothing
from lightning_factorlens.stopping.smoothing import DEFAULT_SMOOTHING, NO_SMOOTHING

HALVES = 5
RULES = {
    "patience 10, weight ½, share 0.1, warm-up 5 (default)": careful(Patience(10)),
    "patience 5": careful(Patience(5)),
    "patience 8": careful(Patience(8)),
    "warm-up 0": careful(Patience(10), warmup=0),
    "warm-up 3": careful(Patience(10), warmup=3),
    "blind to the schedule": blind(Patience(10)),
    **{f"share {share}": careful(Patience(10), share=share) for share in (0.0, 0.03, 0.05, 0.15, 0.2)},
    "no smoothing": careful(Patience(10), smoothing=NO_SMOOTHING),
    "median of 3, weight ½": careful(Patience(10), smoothing=DEFAULT_SMOOTHING),
    "weight 0.3": careful(Patience(10), smoothing=Smoothing(weight=0.3)),
}
#: Number of shifts of every image whose outputs are compared; 0 alternates two shifts from image to image.
VIEWS = {"a shift in turn": 0, "2 shifts": 2, "4 shifts": 4}
SIGNALS = [(memory, views) for memory in (0.0, 0.5, 0.7, 0.8, 0.9) for views in VIEWS]
BALANCE = {"": True, ", without the balance": False}


@dataclass(frozen=True)
class Views:
    """A record, and the network's outputs for the probe and its four diagonal shifts.

    Attributes:
        record: The derived record.
        logits: Shape (T, 5, N, 10).
    """

    record: Mapping[str, Any]
    logits: Tensor

    @classmethod
    def of(cls, record: Record, raw: Path) -> Views:
        """Reads the outputs from the raw record of a derived one."""
        meta, arrays = read_raw(raw / f"{record['record']}.npz")
        pixels = PIXELS[record["task"]["dataset"]]
        transforms = ["identity", *(f"shift/{d.format(px=pixels)}" for d in DIAGONALS)]
        places = [meta["ladder"].index(transform) for transform in transforms]
        return cls(record, torch.from_numpy(arrays["probe_logits"][:, places].astype(np.float32)))

    def signal(self, momentum: float, views: int, balance: bool) -> list[float]:
        """The consistency with pseudo-labels, with or without the balance of the predictions.

        Args:
            momentum: Momentum of the pseudo-labels; 0 uses the classes predicted at the same epoch.
            views: Number of shifts of every image; 0 alternates two shifts from image to image.
            balance: Whether the imbalance of the mean prediction is added.
        """
        labels = pseudo_labels(list(self.logits[:, 0]), momentum)
        moved = self.logits[:, 1 : 1 + views] if views else self.logits[:, 1:2].clone()
        if not views:
            moved[:, 0, 1::2] = self.logits[:, 2, 1::2]
        values = []
        for y, shifted, plain in zip(labels, moved, self.logits[:, 0]):
            imbalance = kl_to_uniform(plain) if balance else 0.0
            values.append(pseudo_label_cross_entropy(y, list(shifted)) + imbalance)
        return values

    def part(self, images: Tensor, first: int, every: int) -> Views:
        """The same record with some of the images and epochs only."""
        cut = {
            group: {name: values[first::every] for name, values in self.record[group].items()}
            for group in ("hidden", "training")
        }
        return Views({**self.record, **cut}, self.logits[first::every][:, :, images])


def variants(views: Sequence[Views]) -> Iterator[tuple[str, list[Views]]]:
    """All records reduced in the same way, with the kind of reduction."""
    everything = torch.arange(views[0].logits.shape[2])
    for first, every in ((0, 1), (0, 2), (1, 2)):
        kind = "every epoch" if every == 1 else "every second epoch"
        yield f"{kind}, whole probe", [v.part(everything, first, every) for v in views]
        for seed in range(HALVES):
            order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(seed))
            yield f"{kind}, half the probe", [v.part(order[: len(order) // 2], first, every) for v in views]


def scored(views: Sequence[Views], memory: float, shifts: int, balance: bool, rule: Rule) -> list[Outcome]:
    """Scores a rule on all records."""
    candidate = Candidate("", "probe", rule, Signal(("x",)))
    return [outcome(candidate, {**v.record, "signals": {"x": v.signal(memory, shifts, balance)}}) for v in views]


def row(name: str, trials: Mapping[str, list[list[Outcome]]], records: Sequence[Record]) -> list[str]:
    """Mean regret by kind of reduction, then the effect on accuracy over all of them."""
    cosine = [i for i, r in enumerate(records) if r["task"]["schedule"] == "cosine"]
    healthy = [i for i, r in enumerate(records) if r["task"]["healthy"]]
    means = {kind: [mean(capped(trial)) for trial in many] for kind, many in trials.items()}
    every = [trial for many in trials.values() for trial in many]
    below = mean(any(trial[i].below_last > 0.5 for i in cosine) for trial in every)
    return [
        name,
        *(f"{mean(m):.3f} ± {pstdev(m):.3f}" for m in means.values()),
        f"{below:.0%}",
        f"{mean(sum(trial[i].premature for i in healthy) for trial in every):.2f}",
    ]


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw records")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the derived records")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = [r for r in load(args.records, "dev") if (args.raw / f"{r['record']}.npz").exists()]
    views = [Views.of(r, args.raw) for r in records]
    first = next(iter(RULES.values()))
    options = {
        **{
            f"{'own choice' if m == 0 else f'memory {m}'}, {k}{words}": (m, VIEWS[k], balance, first)
            for m, k in SIGNALS
            for words, balance in BALANCE.items()
        },
        **{f"the default's signal: {name}": (0.8, 0, True, rule) for name, rule in RULES.items()},
    }
    trials: dict[str, dict[str, list[list[Outcome]]]] = {name: {} for name in options}
    for kind, cut in variants(views):
        for name, option in options.items():
            trials[name].setdefault(kind, []).append(scored(cut, *option))
    rows = [row(name, found, records) for name, found in trials.items()]
    kinds = tuple(next(iter(trials.values())))
    header = ("signal and rule", *kinds, "trials with a cosine run over 0.5 points below its last epoch",
              "healthy runs stopped early, a trial")  # fmt: skip
    text = (
        "## Stopping without labels: how much of the choice is luck\n\n"
        f"`python -m benchmarks.stopping.stress --raw RAW`: {len(records)} development records; mean regret ± "
        f"its spread over the trials ({HALVES} halves of the probe, both phases of every second epoch).\n\n"
    )
    write_section("stopping", "stress", text + markdown_table(header, rows))
    write_json("stopping", "stress", {"records": [r["record"] for r in records], "header": header, "rows": rows})


if __name__ == "__main__":
    main()
