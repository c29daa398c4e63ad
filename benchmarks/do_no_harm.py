"""Trains in many ways with and without the lens, and compares everything, bit for bit.

    python benchmarks/do_no_harm.py [--quick] [--only WORD]

Any two settings (model, precision, compilation, optimizer, schedule, validation, augmentation, averaging of weights,
lens, accumulation, loader workers, processes, resuming) meet in at least one set-up. Compared are, of every process,
Lightning's checkpoint without the lens's own part, weights and buffers with their order in memory, gradients,
optimizers, every value the user logged, the random states of torch, numpy and Python, every module's training flag and
hooks, and how often torch compiled. A set-up counts only where the lens has looked and never failed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: the folder above is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import numpy as np
import torch
from torch import Tensor

from benchmarks.do_no_harm_setups import KINDS, SetUp, every_pair
from benchmarks.do_no_harm_train import train, watchers
from benchmarks.reporting import Figure, close, machine, markdown_table, write_json, write_section


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
    found = list(differences(alone, watched))
    found += [] if all(looks for looks, _ in lenses) else ["the lens never looked"]
    found += [f"the lens failed {n} times" for _, n in lenses if n]
    seconds = time.perf_counter() - start
    verdict = "different" if found else "identical"
    return {"verdict": verdict, "why": "; ".join(found[:8]), "looks": sum(n for n, _ in lenses), "seconds": seconds}


def report(rows: list[tuple[SetUp, dict[str, Any]]], quick: bool) -> tuple[str, list[Figure]]:
    """The section and the closing figures."""
    count = {v: sum(row["verdict"] == v for _, row in rows) for v in ("identical", "different", "impossible")}
    looks = sum(row["looks"] for _, row in rows)
    odd = [(str(i), str(s), r["verdict"], r["why"]) for i, (s, r) in enumerate(rows, 1) if r["verdict"] != "identical"]
    kinds = "; ".join(f"{k} ({', '.join(str(v) for v in vs)})" for k, vs in KINDS.items())
    text = f"""## Do no harm{" (quick run)" if quick else ""}

`python benchmarks/do_no_harm.py`: {count["identical"]} set-ups end bit for bit the same with and without the lens,
{count["different"]} do not; {looks} looks. {count["impossible"]} cannot be trained at all. Settings: {kinds}.
{"A third of the set-ups" if quick else "Any two settings that can go together do so at least once"}.

{markdown_table(("#", "set-up", "verdict", "what differs"), odd) if odd else "No exception."}

<details><summary>All set-ups</summary>

{markdown_table(("#", "set-up", "looks", "verdict"), [(str(i), str(s), str(r["looks"]), r["verdict"]) for i, (s, r) in enumerate(rows, 1)])}

</details>"""
    figures = [Figure("setups_identical", count["identical"], 60), Figure("setups_differing", count["different"], 0, True)]
    return text, figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the set-ups")
    parser.add_argument("--only", default="", help="set-ups whose name holds this word; nothing is written")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    setups = [s for s in every_pair()[:: 3 if args.quick else 1] if args.only in str(s)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, setup in enumerate(setups, 1):
            rows.append((setup, row := compare(setup, Path(folder) / "run")))
            told = f"{row['verdict']}, {row['looks']} looks {row['why']}"
            print(f"{number}/{len(setups)} {setup}: {told}", flush=True)
    text, figures = report(rows, args.quick)
    if not args.only:
        table = [{**asdict(s), **r} for s, r in rows]
        write_json("do_no_harm", {"machine": machine(["lightning"]), "quick": args.quick, "rows": table}, figures)
        write_section("do_no_harm", text)
    close(figures)


if __name__ == "__main__":
    main()
