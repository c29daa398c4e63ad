"""Runs trials, each in a process of its own with a time limit, so that no failure ends the others."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.model_families.family import Family
from benchmarks.model_families.training import shortened
from benchmarks.model_families.trial import FAILED, Trial
from benchmarks.reporting import ROOT, subprocess_environment


def run_in_subprocess(family: Family, time_limit: float) -> dict[str, Any]:
    """`run_trial` in another process.

    Args:
        family: The family.
        time_limit: Seconds after which the process is killed.

    Returns:
        The fields of the `Trial`; a process that died or took too long is a trial that failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.model_families.trial", family.name, str(result)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=time_limit,
                check=False,
                cwd=ROOT,
                env=subprocess_environment(threads=1),
            )
        except subprocess.TimeoutExpired:
            return _failed(family, f"Not finished after {time_limit:g} seconds.")
        if result.exists():
            trial: dict[str, Any] = json.loads(result.read_text())
            return trial
        last_line = (done.stderr.strip().splitlines() or [""])[-1]
        return _failed(family, f"The process ended with code {done.returncode}: {last_line}")


def _failed(family: Family, error: str) -> dict[str, Any]:
    return asdict(Trial(family.name, family.model, FAILED, error=shortened(error)))
