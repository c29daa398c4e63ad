"""``factorlens report``: runs and checkpoints as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_factorlens.cli.arguments import (
    add_data,
    add_json,
    add_lens,
    add_model_options,
    make_lens,
    make_samples,
    print_json,
    run_lens,
)
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.errors import CommandError
from lightning_factorlens.cli.hierarchy import N_UNTRAINED
from lightning_factorlens.cli.model_source import build_untrained, load_model, read_checkpoint
from lightning_factorlens.report import ReportError, Subject, read_runs, write_report
from lightning_factorlens.report.checkpoint import checkpoint_subject, position_of
from lightning_factorlens.report.naming import with_distinct_names
from lightning_factorlens.report.page import check_jinja
from lightning_factorlens.report.reading import SUFFIX, history_of_checkpoint
from lightning_factorlens.report.setups import differences
from lightning_factorlens.report.summary import report_summary
from lightning_factorlens.report.views import (
    PictureRequest,
    view_measurements,
    with_unit_pictures,
    with_untrained_hierarchy,
)
from lightning_factorlens.results import Observation

#: Suffixes of files that are read as JSON lines; other files are checkpoints.
TEXT_SUFFIXES = (".jsonl", ".json", ".ndjson", ".txt", "")


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    inputs_help = "JSON lines of a run, a folder that holds some, or a checkpoint; several are compared"
    parser.add_argument("inputs", type=str, nargs="+", help=inputs_help)
    parser.add_argument("--output", type=str, default="report.html", help="the HTML file")
    parser.add_argument("--title", type=str, default=None, help="title of the page")
    add_model_options(parser, is_required=False)
    add_data(parser, is_required=False)
    add_lens(parser)
    parser.add_argument("--rank", type=int, default=10, help="number of concepts of a checkpoint")
    parser.add_argument("--pictures", type=int, default=4, help="pictures of units of each layer; 0 for none")
    layers_help = "layers that have pictures of units, e.g. [conv1,fc]; without any, three by depth"
    parser.add_argument("--picture_layers", type=list[str], default=None, help=layers_help)
    seconds_help = "time that the pictures may take; where it does not suffice there are fewer"
    parser.add_argument("--picture_seconds", type=float, default=60.0, help=seconds_help)
    names_help = "words for the classes of the model's output, e.g. [cat,dog]"
    parser.add_argument("--class_names", type=list[str], default=[], help=names_help)
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command.

    Raises:
        CommandError: Something that is no run and no checkpoint, or a file that cannot be written.
    """
    try:
        check_jinja()
        _check_output(words.output, words.inputs)
        subjects: list[Subject] = []
        for path in words.inputs:
            subjects += read_runs(path) if _is_run(path) else [_checkpoint(words, path)]
        named = [replace(subject, class_names=tuple(words.class_names)) for subject in subjects]
        subjects = with_distinct_names(named)
        file = write_report(subjects, words.output, words.title)
    except ReportError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"--output: {words.output!r} cannot be written: {error}") from error
    summary = report_summary(subjects)
    different = differences(subjects)
    if words.json:
        found = {difference.name: difference.sentence for difference in different}
        print_json({"report": str(file), "bytes": file.stat().st_size, "subjects": summary, "differences": found})
    else:
        _print_findings(summary)
        for difference in different:
            print(f"Different {difference.name}: {difference.sentence}")
        print(f"Report: {file} ({file.stat().st_size / 1e6:.1f} MB)")


def _check_output(output: str, inputs: Sequence[str]) -> None:
    """Refuses a folder, and a file that is read: a record cannot be made anew."""
    place = Path(output)
    if place.is_dir():
        raise CommandError(f"--output: {output!r} is a folder; give the name of a file, e.g. report.html.")
    if place.suffix == SUFFIX or place.resolve() in [Path(path).resolve() for path in inputs]:
        raise CommandError(
            f"--output: {output!r} is a record and would be replaced; give another file, e.g. report.html."
        )


def _is_run(path: str) -> bool:
    return Path(path).is_dir() or Path(path).suffix.lower() in TEXT_SUFFIXES


def _checkpoint(words: Any, path: str) -> Subject:
    """A checkpoint: observed where a model and samples are given, else the history of its run alone."""
    saved = read_checkpoint(path)
    name = Path(path).stem
    run = history_of_checkpoint(saved, name, path)
    if words.model is None and words.data is None:
        if run is None:
            raise CommandError(
                f"checkpoint: {path!r} holds no history of a FactorLensCallback; give --model and --data, on which it "
                "is observed."
            )
        return run
    if words.model is None or words.data is None:
        missing, given = ("--data", "--model") if words.data is None else ("--model", "--data")
        raise CommandError(f"{missing}: a checkpoint is observed with --model and --data, found {given} alone.")
    return checkpoint_subject(run, _observe(words, path, saved), name, path)


def _observe(words: Any, path: str, saved: Mapping[str, Any]) -> Observation:
    """One observation with all that a report shows."""
    epoch, step = position_of(saved)
    lens = make_lens(words, load_model(words.model, words.model_args, path))
    lens.measurements = view_measurements(words.rank)
    samples = run_lens(lens.draw, make_samples(words))
    observation: Observation = run_lens(lens.observe, samples, epoch=epoch, step=step)
    layers = None if words.picture_layers is None else tuple(words.picture_layers)
    request = run_lens(PictureRequest, words.pictures, layers, words.picture_seconds)
    observation = run_lens(with_unit_pictures, observation, lens, samples, request)
    untrained = []
    for index in range(N_UNTRAINED):
        model = build_untrained(words.model, words.model_args, path, words.seed + index)
        if model is not lens.model:  # an object at an import path cannot be made anew
            untrained.append(make_lens(words, model))
    found: Observation = run_lens(with_untrained_hierarchy, observation, lens, samples, untrained)
    return found


def _print_findings(summary: list[dict[str, Any]]) -> None:
    for subject in summary:
        count = subject["observations"]
        noun = "observation" if count == 1 else "observations"
        print(f"{subject['name']}: {count} {noun}, the last after epoch {subject['last_epoch']}")
        for finding in subject["findings"]:
            print(f"  {finding['question']} {finding['verdict']}: {finding['reason']}.")


COMMAND = Command(
    "report",
    "Writes runs and checkpoints as one HTML file that needs no network; several are compared.",
    "factorlens report runs/digits/version_0 --output report.html",
    _add_arguments,
    _run,
)
