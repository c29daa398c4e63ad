"""Trains the representative of one family without and with the callback, and compares; run as a process of its own.

    python -m benchmarks.model_families.trial NAME RESULT.json

The callback comes first without any argument. Where that fails, it comes once more with the argument that the family
declares.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.model_families.family import Family
from benchmarks.model_families.registry import FAMILIES
from benchmarks.model_families.training import Training, make_lens, train
from benchmarks.safety.bitwise_identity.compare import differences
from lightning_factorlens import FactorLensCallback

#: Results of a trial.
BARE = "bare"
ONE_ARGUMENT = "one argument"
FAILED = "failed"
SKIPPED = "skipped"
#: The observation before training, and that after its only epoch.
OBSERVATIONS = 2


@dataclass(frozen=True)
class Trial:
    """What became of one family.

    Attributes:
        family: Name of the family.
        model: Its representative.
        result: `BARE` or `ONE_ARGUMENT` where training and every observation ended as they should, `FAILED` where they
            did not, `SKIPPED` where a package is missing.
        argument: The argument with which it ran, as Python source; empty without.
        error: What the callback without arguments said, where it failed; the first 300 characters.
        error_with_argument: The same for the callback with the family's argument, where that failed too.
        observations: Number of observations that succeeded, of two.
        layers: Number of selected layers.
        spectra: Number of weights whose spectrum was analysed.
        signals: Names of the measurements of consistency that have a value.
        notes: Remarks of the last observation, such as the reason why there is no consistency.
        warnings: Other warnings of the callback.
        identical: Whether weights, buffers, optimizers and random states are bit for bit those of the training without
            the callback; None where two trainings without it differ too, or where nothing was compared.
        differences: Where they differ.
        seconds_without: Wall seconds of the training without the callback.
        seconds_with: Wall seconds of the training with it, as it ran last.
    """

    family: str
    model: str
    result: str
    argument: str = ""
    error: str = ""
    error_with_argument: str = ""
    observations: int = 0
    layers: int = 0
    spectra: int = 0
    signals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    identical: bool | None = None
    differences: str = ""
    seconds_without: float = 0.0
    seconds_with: float = 0.0


def run_trial(family: Family) -> Trial:
    """Trains without the callback, with it, and if that fails with it and the family's argument."""
    missing = [package for package in family.packages if importlib.util.find_spec(package) is None]
    if missing:
        return Trial(family.name, family.model, SKIPPED, error=f"not installed: {', '.join(missing)}")
    without = train(family, None)
    if without.error:
        error = f"The training without the callback failed: {without.error}"
        return Trial(family.name, family.model, FAILED, error=error, seconds_without=without.seconds)
    lens = make_lens()
    with_lens = train(family, lens)
    error = _failure(with_lens, lens)
    if not error:
        return _describe(family, BARE, without, with_lens, lens)
    if not family.argument:
        return _describe(family, FAILED, without, with_lens, lens, error=error)
    lens = make_lens(family.argument)
    with_lens = train(family, lens)
    second_error = _failure(with_lens, lens)
    result = FAILED if second_error else ONE_ARGUMENT
    return _describe(family, result, without, with_lens, lens, error, second_error)


def _failure(training: Training, lens: FactorLensCallback) -> str:
    """Why a training with the callback does not count as run; empty where it does."""
    if training.error:
        return training.error
    if lens.state.n_measured == OBSERVATIONS and not lens.state.n_failed:
        return ""
    counts = f"{lens.state.n_measured} of {OBSERVATIONS} observations succeeded, {lens.state.n_failed} failed."
    return " ".join([counts, *training.warnings])


def _describe(
    family: Family,
    result: str,
    without: Training,
    with_lens: Training,
    lens: FactorLensCallback,
    error: str = "",
    second_error: str = "",
) -> Trial:
    observation = lens.observation
    signals: list[str] = []
    n_spectra = 0
    if observation is not None:
        signals = [name for name in observation.records if "consistency" in name]
        if "weight_spectra" in observation:
            n_spectra = len(observation["weight_spectra"].layers)
    identical, found = _compare(family, without, with_lens)
    return Trial(
        family=family.name,
        model=family.model,
        result=result,
        argument=family.argument if result == ONE_ARGUMENT else "",
        error=error,
        error_with_argument=second_error,
        observations=lens.state.n_measured,
        layers=len(lens.state.layers),
        spectra=n_spectra,
        signals=tuple(signals),
        notes=() if observation is None else observation.notes,
        warnings=tuple(with_lens.warnings),
        identical=identical,
        differences=found,
        seconds_without=without.seconds,
        seconds_with=with_lens.seconds,
    )


def _compare(family: Family, without: Training, with_lens: Training) -> tuple[bool | None, str]:
    """Whether a training with the callback ended as that without, and where it differs."""
    if with_lens.error:
        return None, ""  # it ended early
    found = list(differences(without.state, with_lens.state))
    if not found:
        return True, ""
    repeated = train(family, None)
    if list(differences(without.state, repeated.state)):
        return None, "two trainings without the callback differ too"
    return False, "; ".join(found[:4])


def main() -> None:
    """Runs the trial that the command line names and writes its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(FAMILIES), metavar="NAME")
    parser.add_argument("result", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trial = run_trial(FAMILIES[args.name])
    args.result.write_text(json.dumps(asdict(trial)))


if __name__ == "__main__":
    main()
