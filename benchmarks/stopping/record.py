"""Trains the runs of the study and stores, for every epoch, all that a rule could use and the hidden test curve.

    python -m benchmarks.stopping.record --data-dir DATA --out RAW --workers 1 --only development

A record is one file ``RAW/<task>-s<seed>.npz``, written at the end of its run. The same command continues after an
interruption: finished records are skipped, and a run that was interrupted is trained again from its seed, with the same
numbers. Several commands at the same time share the queue through lock files.

Content of a record, with T epochs, N = 256 probe images, n training images; logits, features and factors are float16:

- ``meta``: JSON as bytes with the task, the names of the transforms, and ``series``, every scalar of every epoch.
- ``probe_logits`` (T, transforms, N, 10) and ``fresh_logits`` (T, 128, 10).
- ``probe_features`` (T, 3, N, width): penultimate features of the probe and of two shifts.
- ``F_8`` (T, 8, N), and ``F_8_folded`` (T, 3, 8, N), the same three views represented by the fixed factors of the
  activations; the same for rank 16.
- ``train_logits`` (T, 5, 256, 10), ``train_features`` and ``train_alignment`` (T, 256) of the training subset.
- ``train_predictions`` (T, n): the classes predicted while training.
- ``train_given``, ``train_true``, ``subset_given``, ``subset_true``: labels.
- ``mix_partner`` (N,): for each probe image the one it is mixed with.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stopping.jobs import queue, unmade
from benchmarks.stopping.tasks import TASKS, Task, record_name
from benchmarks.stopping.training_run import RANKS, SUBSET, Run
from benchmarks.stopping.transforms import training_transforms


def meta(run: Run, seed: int, seconds: float) -> dict[str, Any]:
    """What is needed to read a record."""
    return {
        "format": 1,
        "record": record_name(run.task, seed),
        "task": asdict(run.task),
        "seed": seed,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "ladder": run.transforms,
        "train_ladder": list(training_transforms()),
        "views": ["probe", *run.shifts],
        "ranks": list(RANKS),
        "layers": [c.name for c in run.lens.layer_table if c.selected],
        "torch": torch.__version__,
        "seconds": seconds,
    }


def save(path: Path, run: Run, seed: int, seconds: float) -> None:
    """Writes the record to another name first, so that a file is either complete or absent."""
    arrays = {name: np.stack(values) for name, values in run.series.arrays.items()}
    arrays["mix_partner"] = run.partner.astype(np.int16)
    arrays["subset_given"] = run.subset_y.numpy().astype(np.uint8)
    arrays["subset_true"] = run.parts.train_true[:SUBSET].numpy().astype(np.uint8)
    arrays["train_given"] = run.parts.train_y.numpy().astype(np.uint8)
    arrays["train_true"] = run.parts.train_true.numpy().astype(np.uint8)
    text = json.dumps({**meta(run, seed, seconds), "series": run.series.scalars})
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    arrays["meta"] = np.frombuffer(text.encode(), dtype=np.uint8)
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(path)


def record(task: Task, seed: int, folder: Path, out: Path) -> Path:
    """Trains one run from its seed and stores it.

    Args:
        task: What to train.
        seed: Seed of data, weights and order.
        folder: Folder of the data sets.
        out: Folder of the record.

    Returns:
        The path of the record.
    """
    start = time.perf_counter()
    run = Run(task, seed, folder)
    name = record_name(task, seed)
    for epoch in range(1, task.epochs + 1):
        run.train_epoch()
        run.measure()
        last = {k: v[-1] for k, v in run.series.scalars.items() if isinstance(v[-1], float)}
        note = " ".join(f"{k} {last[k]:.3f}" for k in ("train_loss", "val_clean_loss", "test_loss", "test_accuracy"))
        spent = " ".join(f"{k[:-8]} {last[k]:.2f}s" for k in ("probe_seconds", "lens_seconds", "label_seconds"))
        print(f"{name} {epoch}/{task.epochs} {time.perf_counter() - start:.0f}s {note} | {spent}", flush=True)
    path = out / f"{name}.npz"
    save(path, run, seed, time.perf_counter() - start)
    return path


def work(jobs: Iterable[tuple[Task, int]], folder: Path, out: Path) -> None:
    """Makes, one after another, the records that neither exist nor are being made by another process."""
    torch.set_num_threads(1)
    for task, seed in unmade(jobs, out, lambda job: record_name(*job)):
        record(task, seed, folder, out)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="holds MNIST/raw and cifar10.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder of the raw records, outside the repository")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--only", choices=("development", "confirmation"))
    parser.add_argument("--tasks", nargs="*", choices=sorted(TASKS), metavar="TASK", help="names as in split.json")
    parser.add_argument("--first-seed-only", action="store_true")
    parser.add_argument("--list", action="store_true", help="print which records exist and which do not, and exit")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tasks = [t for t in TASKS.values() if args.only in (None, t.part) and (not args.tasks or t.name in args.tasks)]
    jobs = queue(tasks)
    if args.first_seed_only:
        jobs = [(task, seed) for task, seed in jobs if seed == task.seeds[0]]
    if args.list:
        for task, seed in jobs:
            name = record_name(task, seed)
            print("done" if (args.out / f"{name}.npz").exists() else "open", name)
        return
    others = [torch.multiprocessing.get_context("spawn").Process(target=work, args=(jobs, args.data_dir, args.out))
              for _ in range(args.workers - 1)]  # fmt: skip
    for process in others:
        process.start()
    work(jobs, args.data_dir, args.out)
    for process in others:
        process.join()


if __name__ == "__main__":
    main()
