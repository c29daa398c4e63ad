"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_factorlens import __version__
from lightning_factorlens.report.errors import ReportError
from lightning_factorlens.report.parts import Part, Text
from lightning_factorlens.report.registry import SECTIONS
from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.subject import Subject

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class FilledSection:
    """A section with what was found for it.

    Attributes:
        section: Its declaration.
        parts: What it shows; empty where nothing of its kind was recorded.
    """

    section: Section
    parts: Sequence[Part]


def fill(subjects: Sequence[Subject], sections: Sequence[Section] = SECTIONS) -> list[FilledSection]:
    """Builds every section.

    Args:
        subjects: What the report is about.
        sections: The sections.
    """
    filled = []
    for section in sections:
        if section is not COMPARISON or len(subjects) > 1:
            filled.append(FilledSection(section, _build(section, subjects)))
    return filled


def _build(section: Section, subjects: Sequence[Subject]) -> Sequence[Part]:
    """The parts of a section; where a record is of another form than the section knows, what went wrong."""
    try:
        return section.build(subjects)
    except Exception as error:
        return [Text(f"{type(error).__name__}: {error}", "This section could not be made.")]


def render(subjects: Sequence[Subject], title: str, sections: Sequence[Section] = SECTIONS) -> str:
    """The page as text.

    Args:
        subjects: What the report is about; several are compared.
        title: Its title.
        sections: Its sections.

    Raises:
        ReportError: jinja2 is not installed.
    """
    environment = _environment()
    template = environment.get_template("report.html")
    page: str = template.render(title=title, subjects=subjects, filled=fill(subjects, sections), version=__version__)
    return page


def check_jinja() -> None:
    """Checks that the page can be made, before anything takes time.

    Raises:
        ReportError: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise ReportError("a report needs jinja2: pip install 'lightning-factorlens[report]'.") from error


def _environment() -> Environment:
    check_jinja()
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests["kind"] = lambda part, name: type(part).__name__ == name
    return environment
