"""Kills training runs with SIGKILL at random places, resumes them from Lightning's last checkpoint, and compares.

    python benchmarks/resume.py [--kills 10] [--seed 0]

Each kill ends a real process; the next one goes on from ``last.ckpt``, loaded with ``weights_only``. Every point that
the lens wrote, its value and its x, and the epoch at which `EarlyStopping` stopped, must be those of a run that nobody
killed.

Lightning 2.6 counts epochs wrong when a run is resumed a second time after a checkpoint of an epoch's last batch: the
training itself is then another one, with or without a lens. So such checkpoints are resumed from once, and the final
weights are compared first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: the folder above is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.reporting import Figure, close, machine, markdown_table, write_json, write_section
from benchmarks.resume_train import BATCHES, Run, train

#: Hooks in which a run is killed, and at which of their calls at the latest: all lie within its first two epochs.
PLACES = {
    "on_train_batch_start": 2 * BATCHES,
    "on_before_optimizer_step": 2 * BATCHES,
    "on_train_batch_end": 2 * BATCHES,
    "on_validation_batch_end": 9,
    "look": 2,
}
#: A checkpoint in the last batch of every epoch, and a kill thereafter.
LAST_BATCH, LATE = {"every_n_train_steps": BATCHES}, ((3 * BATCHES + 4, "on_train_batch_start"),)

RUNS = (
    Run("a look an epoch, a checkpoint every 7 steps", patience=None),
    Run("the same, stopped by EarlyStopping"),
    Run("a look every 5 steps", {"every_n_train_steps": 5}),
    Run("a look every 2 epochs, a checkpoint an epoch", {"every_n_epochs": 2}, {}, patience=1),
    Run("images resampled, validation twice an epoch", {"resample_probe": True}, {}, {"val_check_interval": 0.5}, None),
    Run("multiplicative updates, validation every 2 epochs", {"solver": "mu"}, {}, {"check_val_every_n_epoch": 2}, 3),
    Run("stopped by LabelFreeStopping", patience=2, label_free=True),
    Run("a checkpoint in the last batch of each epoch", {}, LAST_BATCH, {}, 2, kills=LATE),
    Run("the same, stopped by LabelFreeStopping", {}, LAST_BATCH, {}, 2, True, LATE),
)
#: A server that has imported what takes seconds to import, and from which every run is forked.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lightning.pytorch", "lightning_factorlens.callbacks.factorlens_callback"])


def random_kills(draw: random.Random, n: int) -> list[tuple[int, str]]:
    """Calls and hooks to be killed at."""
    places = [draw.choice(list(PLACES)) for _ in range(n)]
    return [(draw.randint(1, PLACES[place]), place) for place in places]


def points(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Every value that was logged of the lens, by tag and x; what it cost is left out."""
    found: dict[tuple[str, int], list[float]] = {}
    for line in (folder / "points.jsonl").read_text().splitlines():
        tag, step, value = json.loads(line)
        if tag.startswith("factorlens") and "_cost/" not in tag and tag.rpartition("/")[2] not in ("seconds", "share"):
            found.setdefault((tag, step), []).append(value)
    return found


def run_to_end(run: Run, folder: Path, kills: Sequence[tuple[int, str]] = ()) -> tuple[int, dict[str, Any]]:
    """Trains, is killed, and trains on until it ends by itself; returns how often it died, and its end."""
    folder.mkdir(parents=True, exist_ok=True)
    died = 0
    for kill in [*kills, None]:
        process = PROCESSES.Process(target=train, args=(run, folder, kill))
        process.start()
        process.join(600)
        if process.exitcode == 0:
            break
        if process.exitcode != -signal.SIGKILL:
            process.kill()
            raise RuntimeError(f"exit code {process.exitcode}: {(folder / 'log.txt').read_text()[-3000:]}")
        died += 1
    return died, json.loads((folder / "end.json").read_text())


def differences(whole: Path, killed: Path) -> list[str]:
    """Points of the lens in which two runs differ, in words; none where they agree bit for bit."""
    a, b = points(whole), points(killed)
    words = [f"{tag} at {x}: only in the whole run" for tag, x in a.keys() - b.keys()]
    words += [f"{tag} at {x}: only in the killed run" for tag, x in b.keys() - a.keys()]
    words += [f"{k[0]} at {k[1]}: {a[k][0]!r} and {b[k]!r}" for k in a.keys() & b.keys() if set(a[k]) != set(b[k])]
    return sorted(words)


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    run: str
    kills: int
    points: int
    differing: int
    stopped_whole: int
    stopped_killed: int
    same_weights: bool
    first_differences: tuple[str, ...]


def compare(run: Run, folder: Path, kills: Sequence[tuple[int, str]]) -> Outcome:
    """One run whole and killed."""
    with ThreadPoolExecutor() as pool:  # each only waits for its processes
        whole = pool.submit(run_to_end, run, folder / "whole")
        killed = pool.submit(run_to_end, run, folder / "killed", kills)
        (_, end), (died, killed_end) = whole.result(), killed.result()
    found = differences(folder / "whole", folder / "killed")
    return Outcome(
        run=run.name,
        kills=died,
        points=len(points(folder / "whole")),
        differing=len(found),
        stopped_whole=end["epoch"],
        stopped_killed=killed_end["epoch"],
        same_weights=end["weights"] == killed_end["weights"],
        first_differences=tuple(found[:5]),
    )


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="a run")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw, outcomes = random.Random(args.seed), []
    for run in RUNS:
        kills = run.kills or random_kills(draw, args.kills)
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(compare(run, Path(folder), kills))
        print(outcomes[-1], flush=True)
    header = ("run", "killed", "points", "differing", "stopped after epoch", "killed one", "same weights")
    rows = [
        (o.run, *map(str, (o.kills, o.points, o.differing, o.stopped_whole, o.stopped_killed, o.same_weights)))
        for o in outcomes
    ]
    text = f"## Killed and resumed\n\n`python benchmarks/resume.py`: {(__doc__ or '').split(chr(10))[0]}\n\n"
    write_section("resume", text + markdown_table(header, rows))
    figures = [
        Figure("resume_kills", sum(o.kills for o in outcomes), 10),
        Figure("resume_points_compared", sum(o.points for o in outcomes), 1000),
        Figure("resume_points_differing", sum(o.differing for o in outcomes), 0, at_most=True),
        Figure("resume_stop_epochs_differing", sum(o.stopped_whole != o.stopped_killed for o in outcomes), 0, True),
        Figure("resume_trainings_differing", sum(not o.same_weights for o in outcomes), 0, at_most=True),
    ]
    write_json("resume", {"machine": machine(("lightning",)), "runs": [asdict(o) for o in outcomes]}, figures)
    close(figures)


if __name__ == "__main__":
    main()
