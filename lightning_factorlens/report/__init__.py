"""A run or a checkpoint as one HTML page that needs no network."""

from lightning_factorlens.report.errors import ReportError
from lightning_factorlens.report.reading import read_runs
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.report.writing import write_report

__all__ = ["ReportError", "Section", "Subject", "for_each", "read_runs", "write_report"]
