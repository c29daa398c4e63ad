"""Trains the runs of the second campaign and stores everything that a signal could use, see `raw`.

    python -m benchmarks.stopping.campaign.record --data-dir DATA --out RAW --part development

A run is one file ``OUT/<task>-s<seed>.npz``, written at its end. The same command continues after an interruption:
finished runs are skipped, and one that was interrupted is trained again from its seed, with the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.stopping.campaign.raw import ARRAYS
from benchmarks.stopping.campaign.run import SUBSET, Run
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.campaign.tasks import TASKS, queue, run_name
from benchmarks.stopping.jobs import unmade

#: Largest file of the weights of every epoch, in bytes.
LARGEST_WEIGHTS = 40_000_000


def arrays_of(run: Run) -> dict[str, np.ndarray]:
    """The arrays of a raw file."""
    found = {name: np.stack(values) for name, values in run.series.arrays.items()}
    scalars = run.series.scalars
    parts = run.parts
    for name, values in scalars.items():
        found[name] = np.asarray(values, dtype=np.float64)
    found["seconds"] = np.stack([found["train_seconds"], found["measure_seconds"]], 1)
    found["learning_rates"] = np.asarray(run.rates)
    labels = {
        "probe_labels": parts.probe_y,
        "train_labels": parts.train_y[:SUBSET],
        "train_true": parts.train_true[:SUBSET],
        "val_clean": parts.val_clean,
        "val_noisy": parts.val_noisy,
        "hidden_test_labels": parts.test_y,
    }
    for name, of_samples in labels.items():
        found[name] = of_samples.numpy().astype(np.uint8)
    empty = np.zeros(0, dtype=np.uint8)
    return {name: found.get(name, empty) for name in ARRAYS}


def save(path: Path, run: Run, seed: int, seconds: float) -> None:
    """Writes the run to another name first, so that a file is either complete or absent."""
    description = {
        "task": asdict(run.task),
        "seed": seed,
        "perturbations": [probe.name for probe in run.probes],
        "shift": run.shift,
        "steps_per_epoch": run.steps_per_epoch,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "torch": torch.__version__,
        "seconds": seconds,
    }
    arrays = {"description": np.frombuffer(json.dumps(description).encode(), dtype=np.uint8), **arrays_of(run)}
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(path)


def record(task: Task, seed: int, folder: Path, out: Path, weights: Path | None = None) -> Path:
    """Trains one run from its seed and stores it.

    Args:
        task: What to train.
        seed: Seed of data, weights and order.
        folder: Folder of the data sets.
        out: Folder of the run's file.
        weights: Folder for the weights of every epoch, float32 (T, weights and statistics of batch norms), where they
            are small; None keeps none.

    Returns:
        The path of the file.
    """
    start = time.perf_counter()
    run = Run(task, seed, folder, out)
    name = run_name(task, seed)
    for epoch in range(1, task.epochs + 1):
        run.train_epoch()
        run.measure()
        if epoch % 5 == 0 or epoch == task.epochs:
            last = {name: values[-1] for name, values in run.series.scalars.items()}
            numbers = ("train_loss", "train_accuracy", "hidden_test_loss", "hidden_test_accuracy")
            note = " ".join(f"{key} {last[key]:.3f}" for key in numbers)
            cost = f"{last['train_seconds']:.2f} + {last['measure_seconds']:.2f} s"
            print(f"{name} {epoch}/{task.epochs} {time.perf_counter() - start:.0f}s {note} | {cost}", flush=True)
    if weights is not None:
        table = torch.stack(run.averages.epochs).numpy()
        if table.nbytes <= LARGEST_WEIGHTS:
            weights.mkdir(parents=True, exist_ok=True)
            np.save(weights / f"{name}.npy", table)
    path = out / f"{name}.npz"
    save(path, run, seed, time.perf_counter() - start)
    print(f"{name} done in {time.perf_counter() - start:.0f}s", flush=True)
    return path


def work(jobs: list[tuple[Task, int]], folder: Path, out: Path, weights: Path | None, until: float = np.inf) -> None:
    """Makes, one after another, the runs that neither exist nor are being made by another process.

    No run is begun after the time ``until``, in seconds since 1970.
    """
    torch.set_num_threads(1)
    for task, seed in unmade(jobs, out, lambda job: run_name(*job)):
        if time.time() > until:
            return
        record(task, seed, folder, out, weights)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds MNIST/raw and cifar10.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the raw files, outside the repository")
    parser.add_argument("--part", choices=("development", "confirmation", "third"), required=True)
    parser.add_argument("--weights", type=Path, help="folder for the weights of every epoch")
    parser.add_argument("--tasks", nargs="*", choices=sorted(TASKS), metavar="TASK", help="names as in split.json")
    parser.add_argument("--n-seeds", type=int, default=1, help="1, or 2 for the second seed of every task too")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no run after so many minutes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = [t for t in TASKS.values() if t.part == args.part and (not args.tasks or t.name in args.tasks)]
    until = time.time() + 60 * args.minutes
    work(queue(tasks, args.n_seeds), args.data_dir, args.out, args.weights, until)


if __name__ == "__main__":
    main()
