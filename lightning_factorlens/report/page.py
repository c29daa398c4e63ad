"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from lightning_factorlens.report.errors import ReportError
from lightning_factorlens.report.parts import Part
from lightning_factorlens.report.registry import SECTIONS
from lightning_factorlens.report.section import Section
from lightning_factorlens.report.sections.comparison import COMPARISON
from lightning_factorlens.report.subject import Subject

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
    filled = [FilledSection(section, section.build(subjects)) for section in sections]
    if len(subjects) == 1:
        return [each for each in filled if each.section is not COMPARISON]
    return filled


def render(subjects: Sequence[Subject], title: str, sections: Sequence[Section] = SECTIONS) -> str:
    """The page as text.

    Args:
        subjects: What the report is about; several are compared.
        title: Its title.
        sections: Its sections.

    Raises:
        ReportError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError as error:
        raise ReportError("a report needs jinja2: pip install 'lightning-factorlens[report]'.") from error
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests["kind"] = lambda part, name: type(part).__name__ == name
    template = environment.get_template("report.html")
    return template.render(title=title, subjects=subjects, filled=fill(subjects, sections))


def write_page(text: str, path: str | PathLike[str]) -> None:
    """Writes a page; its folder is created.

    Args:
        text: From `render`.
        path: The file.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
