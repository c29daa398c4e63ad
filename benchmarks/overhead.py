"""What the lens costs `examples/cifar10_resnet.py`: its share of an epoch at the defaults, and of a run with a budget.

    python benchmarks/overhead.py --data cifar10.npz [--images 2000] [--epochs 2] [--budget-epochs 14]

Each run is a real process of its own; the shares are those that the lens logs and says. They are ratios of wall times:
on a busy machine, run it with nothing beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

if __package__ in (None, ""):  # run as a script: the folder above is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.reporting import Figure, close, machine, markdown_table, median, write_json, write_section

ROOT = Path(__file__).resolve().parent.parent
CLOSING = re.compile(r"FactorLens: (\d+) looks in ([\d.]+) s, ([\d.]+)% of the time(?:; (\d+) skipped)?")


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
    """

    run: str
    epochs: int
    looks: int
    skipped: int
    seconds: float
    share: float
    share_an_epoch: float


def measure(name: str, data: Path, images: int, epochs: int, max_overhead: float | None, threads: int) -> Cost:
    """Runs the example."""
    budget = [] if max_overhead is None else ["--max-overhead", str(max_overhead)]
    script = ROOT / "examples" / "cifar10_resnet.py"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script, "--data", data.resolve(), "--images", images, "--epochs", epochs, *budget]
        words = [str(word) for word in [*command, "--log-dir", folder]]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=folder)
        found = CLOSING.search(done.stdout + done.stderr)
        assert found is not None, done.stdout[-2000:]
        shares = _scalars(Path(folder), "factorlens/share")
    looks, seconds, share, skipped = found.groups()
    return Cost(name, epochs, int(looks), int(skipped or 0), float(seconds), float(share) / 100, median(shares))


def _scalars(folder: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    values: list[float] = []
    for file in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        if tag in events.Tags()["scalars"]:
            values += [event.value for event in events.Scalars(tag)]
    return values


def main() -> None:
    """Both runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=2000, help="training images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--budget-epochs", type=int, default=14)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    runs = [
        measure(f"defaults, {args.images} images", args.data, args.images, args.epochs, None, args.threads),
        measure("max_overhead=0.02", args.data, args.images, args.budget_epochs, 0.02, args.threads),
    ]
    header = ("run", "epochs", "looks", "skipped", "seconds", "share of the run", "share of the time between looks")
    rows = [
        (
            r.run,
            str(r.epochs),
            str(r.looks),
            str(r.skipped),
            f"{r.seconds:.1f}",
            f"{r.share:.1%}",
            f"{r.share_an_epoch:.1%}",
        )
        for r in runs
    ]
    write_section("overhead", markdown_table(header, rows))
    figures = [
        Figure("overhead_share_of_an_epoch_at_defaults", runs[0].share_an_epoch, 0.05, at_most=True),
        Figure("overhead_share_of_the_run_at_budget_0.02", runs[1].share, 0.02, at_most=True),
    ]
    write_json(
        "overhead", {"machine": machine(("lightning", "torchvision")), "runs": [asdict(r) for r in runs]}, figures
    )
    close(figures)


if __name__ == "__main__":
    main()
