"""Writes a report of runs that are recorded in files or at hand as observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from lightning_factorlens._validation import check_type
from lightning_factorlens.report.errors import ReportError
from lightning_factorlens.report.naming import with_distinct_names
from lightning_factorlens.report.page import render
from lightning_factorlens.report.reading import condense, read_runs
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Observation

#: One run: a file or folder, its observations, one observation, or what `read_runs` returns.
Run = str | PathLike[str] | Observation | Sequence[Observation] | Subject


def write_report(
    runs: Run | Sequence[Subject] | Mapping[str, Run], path: str | PathLike[str], title: str | None = None
) -> Path:
    """Writes one HTML file that needs nothing else: a verdict, the course, rank curves, spectra, concepts, cost.

    Args:
        runs: One run: its observations, such as ``callback.history``; a single observation, such as that of
            `FactorLens.observe`; or the path of a file of `JSONLinesSink`, or of a folder with such files. Several by
            their names, or a list of `Subject`, are compared.
        path: The file; its folder is created.
        title: Title of the page; by default made from the names of the runs.

    Returns:
        The path of the file.

    Raises:
        ReportError: There is nothing to report, a file cannot be read, or jinja2 is not installed.
        TypeError: ``runs`` is none of these.

    Example:
        >>> import os, tempfile
        >>> from lightning_factorlens.results import Scalars
        >>> history = [Observation(3, 300, {"consistency": Scalars({"consistency": 0.5})})]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_report(history, os.path.join(folder, "report.html"), "My run")
        ...     "<h1>My run</h1>" in path.read_text()
        True
    """
    subjects = with_distinct_names(_subjects(runs))
    file = Path(path)
    page = render(subjects, title or default_title(subjects))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")
    return file


def default_title(subjects: Sequence[Subject]) -> str:
    """The title of a report of some subjects.

    Args:
        subjects: At least one.
    """
    return f"FactorLens: {' and '.join(subject.name for subject in subjects)}"


def _subjects(runs: object) -> list[Subject]:
    if isinstance(runs, Mapping):
        found = []
        for name, run in runs.items():
            read = _of_run(run)
            for subject in read:
                found.append(replace(subject, name=name if len(read) == 1 else f"{name}: {subject.name}"))
        return _some(found)
    if isinstance(runs, Sequence) and runs and all(isinstance(run, Subject) for run in runs):
        return list(runs)
    return _some(_of_run(runs))


def _of_run(run: object) -> list[Subject]:
    if isinstance(run, Subject):
        return [run]
    if isinstance(run, (str, PathLike)):
        return read_runs(run)
    if isinstance(run, Observation):
        return [Subject("observation", "", (run,))]
    check_type("runs", run, Sequence, "pass observations, a path, or a dictionary of these by name")
    assert isinstance(run, Sequence)
    for observation in run:
        check_type("runs", observation, Observation, "pass observations, a path, or a dictionary of these by name")
    return [Subject("run", "", condense(run))] if run else []


def _some(subjects: list[Subject]) -> list[Subject]:
    if not subjects or not all(subject.history for subject in subjects):
        raise ReportError("runs: there is no observation to report; report after the first observation of a run.")
    return subjects
