"""What the lens costs `examples/cifar10_resnet.py`: its share of an epoch at the defaults, and of a run with a budget.

    python -m benchmarks.overhead --data cifar10.npz [--threads 2]

Each run is a real process of its own; the shares are those that the lens logs and says. They are ratios of wall times:
on a busy machine, run it with nothing beside it. Half an hour on two cores: the defaults are one epoch of all CIFAR-10;
what a small epoch pays (2,000 images), with and without a budget, stands beside it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.reporting import (
    ROOT,
    Figure,
    machine,
    markdown_table,
    median,
    print_figures,
    subprocess_environment,
    write_json,
    write_section,
)

CLOSING = re.compile(r"FactorLens: (\d+) observations in ([\d.]+) s, ([\d.]+)% of the time(?:; (\d+) skipped)?")


@dataclass(frozen=True)
class Cost:
    """What one run paid.

    Attributes:
        run: In words.
        epochs: Trained.
        looks: Taken, the one before training among them.
        skipped: Not paid for.
        seconds: Of all looks.
        share: Of the whole run, the look before training included.
        share_an_epoch: Median over the looks of their share of the time since the last.
        consistency: The part of it that the shifted probe costs.
    """

    run: str
    epochs: int
    looks: int
    skipped: int
    seconds: float
    share: float
    share_an_epoch: float
    consistency: float


def measure(name: str, data: Path, threads: int, epochs: int, *options: str) -> Cost:
    """Runs the example."""
    script = ROOT / "examples" / "cifar10_resnet.py"
    environment = subprocess_environment(threads)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script, "--data", data.resolve(), "--epochs", epochs, "--log-dir", folder, *options]
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=folder)
        found = CLOSING.search(done.stdout + done.stderr)
        assert found is not None, done.stdout[-2000:]
        tags = ("factorlens/overhead", "factorlens/seconds", "factorlens_cost/consistency")
        shares, total, consistency = (_scalars(Path(folder), tag) for tag in tags)
    # no share is known of the look before training
    parts = [share * c / t for share, c, t in zip(reversed(shares), reversed(consistency), reversed(total))]
    looks, seconds, share, skipped = found.groups()
    return Cost(
        name, epochs, int(looks), int(skipped or 0), float(seconds), float(share) / 100, median(shares), median(parts)
    )


def _scalars(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: list[float] = []
    for file in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            values += [event.value for event in events.Scalars(tag)]
    return values


def table(runs: list[Cost]) -> str:
    """One row a run."""
    header = ("run", "epochs", "looks", "skipped", "seconds", "share of the run", "share of the time between looks",
              "of that, consistency")  # fmt: skip
    rows = [
        (r.run, str(r.epochs), str(r.looks), str(r.skipped), f"{r.seconds:.1f}", f"{r.share:.1%}",
         f"{r.share_an_epoch:.2%}", f"{r.consistency:.2%}")
        for r in runs
    ]  # fmt: skip
    return markdown_table(header, rows)


def main() -> None:
    """All three runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1, help="at the defaults")
    parser.add_argument("--small-epochs", type=int, default=14, help="with 2,000 images and a budget")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    small = ("--images", "2000")
    runs = [
        measure("defaults", args.data, args.threads, args.epochs),
        measure("2,000 images", args.data, args.threads, 3, *small),
        measure("2,000 images, max_overhead=0.02", args.data, args.threads, args.small_epochs, *small,
                "--max-overhead", "0.02"),
    ]  # fmt: skip
    text = f"## What the lens costs\n\n`python -m benchmarks.overhead --data cifar10.npz --threads {args.threads}`: "
    write_section("overhead", "overhead", text + f"{(__doc__ or '').split(chr(10))[0]}\n\n{table(runs)}")
    figures = [
        Figure("overhead_share_of_an_epoch_at_defaults", runs[0].share_an_epoch, 0.05, at_most=True),
        Figure("overhead_consistency_share_at_defaults", runs[0].consistency, 0.01, at_most=True),
        Figure("overhead_share_of_an_epoch_of_2000_images", runs[1].share_an_epoch, 0.05, at_most=True),
        Figure("overhead_share_of_the_run_at_budget_0.02", runs[2].share, 0.02, at_most=True),
    ]
    write_json("overhead", "overhead", {"machine": machine(("lightning", "torchvision")), "threads": args.threads,
                            "runs": [asdict(r) for r in runs]}, figures)  # fmt: skip
    print_figures(figures)


if __name__ == "__main__":
    main()
