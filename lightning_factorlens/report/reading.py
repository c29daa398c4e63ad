"""Recorded runs: JSON lines, folders in which they lie, and the history that a Trainer's checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lightning_factorlens.loggers.json_lines import iterate_jsonl
from lightning_factorlens.report.errors import ReportError
from lightning_factorlens.report.naming import distinguishing_names
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import History, Observation
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping import default_rule

SUFFIX = ".jsonl"
#: Pictures of a record, which lie beside it.
PICTURES_SUFFIX = ".pictures.jsonl"
#: Records of a folder beyond which nothing is compared: a page of dozens of runs has no line that can be followed.
MAX_RUNS = 6
#: How a run gets a record; stands at the end of errors.
HOW_TO_RECORD = (
    'train with FactorLensCallback(sinks=[JSONLinesSink("curves.jsonl")]), or give a checkpoint that the Trainer saved '
    "during the run, which holds the callback's history"
)


def read_runs(path: str | PathLike[str]) -> list[Subject]:
    """Reads the runs of a JSON-lines file, or of a folder that holds some.

    Args:
        path: A file of `JSONLinesSink` or `write_jsonl`, or a folder with such files in it or below it.

    Returns:
        One subject a file, named by its folder, or by that part of its path in which it differs from the others.

    Raises:
        ReportError: There is no such file or folder, or it holds no observation, or more runs than can be compared.
    """
    place = Path(path)
    if place.is_dir():
        return _read_folder(place)
    if not place.is_file():
        raise ReportError(f"there is no file or folder {str(path)!r}.")
    return [_read_file(place, distinguishing_names([place.resolve()])[0])]


def _read_folder(folder: Path) -> list[Subject]:
    files = [file for file in sorted(folder.rglob(f"*{SUFFIX}")) if not file.name.endswith(PICTURES_SUFFIX)]
    if not files:
        raise ReportError(f"{str(folder)!r} holds no JSON lines (*{SUFFIX}){_found_instead(folder)}; {HOW_TO_RECORD}.")
    if len(files) > MAX_RUNS:
        raise ReportError(
            f"{str(folder)!r} holds {len(files)} files *{SUFFIX}, and at most {MAX_RUNS} runs are compared; name those "
            "to compare."
        )
    subjects = []
    problems = []
    for file, name in zip(files, distinguishing_names([file.resolve() for file in files])):
        try:
            subjects.append(_read_file(file, name))
        except ReportError as problem:
            problems.append(str(problem))
    if not subjects:
        raise ReportError(problems[0])
    return subjects


def _found_instead(folder: Path) -> str:
    """What a folder of another logger holds."""
    if any(folder.rglob("events.out.tfevents.*")):
        return ", only TensorBoard's event files, from which no observation can be read"
    return ""


def _read_file(file: Path, name: str) -> Subject:
    notes = []
    try:
        history = condense(iterate_jsonl(file))
        if _is_cut(file):
            notes.append("The last line of the record is unfinished, as a killed run leaves it, and was left out.")
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: not a record of a run: {error}; {HOW_TO_RECORD}.") from error
    if not history:
        raise ReportError(f"{str(file)!r} holds no finished observation; the first is written after the first epoch.")
    return Subject(name, str(file), history, tuple(notes))


def _is_cut(file: Path) -> bool:
    """Whether the last line has no end."""
    with file.open("rb") as content:
        size = content.seek(0, 2)
        if size == 0:
            return False
        content.seek(size - 1)
        return content.read() != b"\n"


def condense(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """The observations of a run as a report needs them, in an amount of memory that its largest line does not multiply.

    Args:
        observations: The observations, oldest first.

    Returns:
        The observations. The first one, and the last record of every measurement, are whole; of other records remains
        what `Record.condensed` keeps. An observation of a step that is not after the one before it replaces those of
        its own step and of later ones, as `JSONLinesSink` does for a run that was resumed from a checkpoint.
    """
    found: list[Observation] = []
    holder: dict[str, int] = {}
    for observation in observations:
        if found and observation.step <= found[-1].step:
            found = [earlier for earlier in found if earlier.step < observation.step]
            holder = _last_holders(found)
        index = len(found)
        found.append(observation)
        for name in observation.records:
            earlier = holder.get(name, 0)
            if earlier > 0:
                record = found[earlier].records[name].condensed()
                found[earlier] = found[earlier].with_record(name, record)
            holder[name] = index
    return tuple(found)


def _last_holders(observations: Sequence[Observation]) -> dict[str, int]:
    """The index of the last observation with each record."""
    holder = {}
    for index, observation in enumerate(observations):
        for name in observation.records:
            holder[name] = index
    return holder


def history_of_checkpoint(saved: Mapping[str, Any], name: str, source: str) -> Subject | None:
    """The run that a checkpoint of a Trainer belongs to, as far as it had come.

    Args:
        saved: The contents of the checkpoint.
        name: How the report calls the run.
        source: Where the checkpoint lies.

    Returns:
        The run; None where no `FactorLensCallback` has left its history there.

    Raises:
        ReportError: Its history cannot be read.
    """
    states = saved.get("callbacks")
    if not isinstance(states, Mapping):
        return None
    for state in states.values():
        if isinstance(state, Mapping) and isinstance(state.get("history"), Mapping):
            try:
                history = tuple(History.from_state_dict(state["history"]))
            except (KeyError, TypeError, ValueError) as error:
                raise ReportError(f"checkpoint: the history in {source!r} cannot be read: {error}") from error
            if history:
                return Subject(name, source, history, advice=_advice(list(states.values())))
    return None


def _advice(states: Sequence[Any]) -> StopAdvice | None:
    """What the run's `LabelFreeStopping` had decided; None without one."""
    for state in states:
        if isinstance(state, Mapping) and isinstance(state.get("best_epoch"), int) and "stop_epoch" in state:
            probability = state.get("probability")
            rule = str(state.get("rule", ""))
            return StopAdvice(
                "LabelFreeStopping",
                state["best_epoch"],
                state["stop_epoch"],
                probability,
                _monitored_name(rule),
                is_default=repr(default_rule()) in rule,
            )
    return None


def _monitored_name(rule: str) -> str:
    """The monitored metric in the text of a state's monitor and rule, without the prefix of its tag."""
    found = re.match(r"\('[^'/]*/([^']*)',", rule)
    return found.group(1) if found else ""
