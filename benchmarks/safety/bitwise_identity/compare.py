"""Trains the same set-up twice, with and without the lens, and finds what differs between the two, bit by bit."""

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
from benchmarks.safety.bitwise_identity.situations.base import Situation
from benchmarks.safety.bitwise_identity.situations.train_situation import train_situation
from benchmarks.safety.bitwise_identity.train import lens_callbacks, train

#: The results of a comparison; "impossible" where training fails without the lens.
IDENTICAL = "identical"
DIFFERENT = "different"
IMPOSSIBLE = "impossible"
#: Seconds after which a set-up counts as hung.
TIMEOUT = 180
#: A server that has imported what takes seconds to import. The processes that it forks have never computed a gradient,
#: so that Lightning may fork in its turn.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([f"{__package__}.compare", f"{__package__}.situations.registry"])


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """The paths of all places where two records differ in type, shape, dtype or a single bit; NaN equals NaN."""
    if isinstance(a, (Tensor, np.ndarray)):
        if not _same_array(a, b):
            yield path
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(k for k in b if k not in a)]:
            if key in a and key in b:
                yield from differences(a[key], b[key], f"{path}/{key}")
            else:
                yield f"{path}/{key}"
    elif isinstance(a, (list, tuple)) and type(a) is type(b) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{path}/{i}")
    elif type(a) is not type(b) or not (a == b or (a != a and b != b)):
        yield path


def _same_array(a: Any, b: Any) -> bool:
    if not isinstance(b, (Tensor, np.ndarray)):
        return False
    first = torch.as_tensor(a)
    second = torch.as_tensor(b)
    return first.dtype == second.dtype and first.shape == second.shape and torch.equal(_bytes(first), _bytes(second))


def _bytes(t: Tensor) -> Tensor:
    """The values as bytes, because -0.0 equals 0.0 and NaN does not equal itself as numbers."""
    strided = t if t.layout == torch.strided else t.to_dense()
    return strided.detach().cpu().resolve_conj().contiguous().flatten().view(torch.uint8)


def _shortened(paths: list[str], n: int = 8) -> list[str]:
    """The first paths of every kind of thing that is compared, at most n, so that none hides the others."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault("/".join(path.split("/")[:3]), []).append(path)
    first = [of_kind[0] for of_kind in kinds.values()]
    return (first + [path for path in paths if path not in first])[:n]


def _one_line(error: BaseException) -> str:
    """Type and message of an error; of a traceback of a failed process only the last line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"[:300]


def _train(setup: SetUp | Situation, folder: Path, with_lens: bool) -> list[dict[str, Any]]:
    """The records of a training with or without the lens."""
    if isinstance(setup, Situation):
        return train_situation(setup, folder, setup.callbacks if with_lens else list)
    return train(setup, folder, (lambda: lens_callbacks(setup.lens)) if with_lens else list)


def _complaints(lenses: list[tuple[int, int]], meant_to_fail: bool) -> list[str]:
    """What is wrong with the numbers of measurements and failures of the lenses.

    A set-up shows something only if the lens has measured and never failed, or has failed where it was meant to.
    """
    if meant_to_fail:
        return [] if all(n_failed for _, n_failed in lenses) else ["the lens did not fail as it was meant to"]
    found = [f"the lens failed {n_failed} times" for _, n_failed in lenses if n_failed]
    return found if all(n_measured for n_measured, _ in lenses) else [*found, "the lens never measured"]


def compare(setup: SetUp | Situation, folder: Path) -> dict[str, Any]:
    """Trains a set-up twice and compares.

    Args:
        setup: What to train.
        folder: Folder for checkpoints and records; its content is deleted.

    Returns:
        ``result`` (`IDENTICAL`, `DIFFERENT` or `IMPOSSIBLE`), ``differences`` in words, ``measurements`` of all lenses,
        ``seconds``, and ``graphs``, the numbers of compiled graphs without and with the lens.
    """
    start = time.perf_counter()
    try:
        without_lens = _train(setup, folder, with_lens=False)
    except (Exception, SystemExit) as error:
        return {"result": IMPOSSIBLE, "differences": _one_line(error), "measurements": 0}
    try:
        with_lens = _train(setup, folder, with_lens=True)
    except (Exception, SystemExit) as error:
        return {"result": DIFFERENT, "differences": _one_line(error), "measurements": 0}
    lenses = [lens for record in with_lens for lens in record.pop("lens")]
    for record in without_lens:
        del record["lens"]
    graphs = [max(record.pop("graphs") for record in records) for records in (without_lens, with_lens)]
    found = list(differences(without_lens, with_lens))
    found += _complaints(lenses, isinstance(setup, Situation) and setup.lens_fails)
    return {
        "result": DIFFERENT if found else IDENTICAL,
        "differences": "; ".join(_shortened(found)),
        "measurements": sum(n_measured for n_measured, _ in lenses),
        "seconds": time.perf_counter() - start,
        "graphs": graphs,
    }


def compare_in_subprocess(setup: SetUp | Situation, folder: Path) -> dict[str, Any]:
    """`compare` in its own process, which is killed after `TIMEOUT` seconds."""
    result_path = folder.with_suffix(".json")
    result_path.unlink(missing_ok=True)
    process = PROCESSES.Process(target=_compare_and_write, args=(setup, folder, result_path))
    process.start()
    process.join(TIMEOUT)
    if process.is_alive():
        process.kill()
        process.join()
    if not result_path.exists():
        words = f"died or hung, exit code {process.exitcode}"
        return {"result": DIFFERENT, "differences": words, "measurements": 0}
    result: dict[str, Any] = json.loads(result_path.read_text())
    return result


def _compare_and_write(setup: SetUp | Situation, folder: Path, result_path: Path) -> None:
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    row = compare(setup, folder)
    partial = result_path.with_suffix(".part")
    partial.write_text(json.dumps(row))
    partial.rename(result_path)
