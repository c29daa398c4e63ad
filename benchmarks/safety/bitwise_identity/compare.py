"""The same training twice, in a process of its own, and what differs between them, bit by bit."""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.safety.bitwise_identity.setups import SetUp
from benchmarks.safety.bitwise_identity.train import train, watchers

#: Seconds after which a set-up counts as one that hangs.
PATIENCE = 600
#: A server that has imported what takes seconds to import; what it forks has never computed a gradient, so that
#: Lightning may fork in its turn.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["benchmarks.safety.bitwise_identity.compare"])


def differences(a: Any, b: Any, where: str = "") -> Iterator[str]:
    """Names every place where two records differ in kind, shape, dtype or a single bit; NaN equals NaN."""
    if isinstance(a, (Tensor, np.ndarray)):
        a, b = torch.as_tensor(a), torch.as_tensor(b) if isinstance(b, (Tensor, np.ndarray)) else b
        same = isinstance(b, Tensor) and a.dtype == b.dtype and a.shape == b.shape
        if not (same and torch.equal(_bits(a), _bits(b))):
            yield where
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(k for k in b if k not in a)]:
            inside = f"{where}/{key}"
            yield from differences(a[key], b[key], inside) if key in a and key in b else [inside]
    elif isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{where}/{i}")
    elif type(a) is not type(b) or not (a == b or (a != a and b != b)):
        yield where


def _bits(t: Tensor) -> Tensor:
    """As bytes: -0.0 is not 0.0, and NaN is NaN."""
    return t.detach().cpu().contiguous().flatten().view(torch.uint8)


def _words(error: Exception) -> str:
    """One line; of a failed process's traceback the last."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"[:300]


def compare(setup: SetUp, folder: Path) -> dict[str, Any]:
    """Trains twice.

    Returns:
        The verdict: ``"identical"``, ``"different"``, or ``"impossible"`` where it fails without the lens.
    """
    start = time.perf_counter()
    try:
        alone = train(setup, folder, list)
    except Exception as error:
        return {"verdict": "impossible", "why": _words(error), "looks": 0}
    try:
        watched = train(setup, folder, lambda: watchers(setup.lens))
    except Exception as error:
        return {"verdict": "different", "why": _words(error), "looks": 0}
    lenses = [lens for record in watched for lens in record.pop("lens")]
    for record in alone:
        del record["lens"]
    graphs = [max(record.pop("graphs") for record in records) for records in (alone, watched)]
    found = list(differences(alone, watched))
    found += [] if all(looks for looks, _ in lenses) else ["the lens never looked"]
    found += [f"the lens failed {n} times" for _, n in lenses if n]
    seconds = time.perf_counter() - start
    verdict = "different" if found else "identical"
    why, looks = "; ".join(found[:8]), sum(n for n, _ in lenses)
    return {"verdict": verdict, "why": why, "looks": looks, "seconds": seconds, "graphs": graphs}


def apart(setup: SetUp, folder: Path) -> dict[str, Any]:
    """`compare` in a process of its own."""
    told = folder.with_suffix(".json")
    told.unlink(missing_ok=True)
    process = PROCESSES.Process(target=_apart, args=(setup, folder, told))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    ended: dict[str, Any] = {"verdict": "different", "why": f"died or hung, exit code {process.exitcode}", "looks": 0}
    return json.loads(told.read_text()) if told.exists() else ended


def _apart(setup: SetUp, folder: Path, told: Path) -> None:
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    row = compare(setup, folder)
    partial = told.with_suffix(".part")
    partial.write_text(json.dumps(row))
    partial.rename(told)
