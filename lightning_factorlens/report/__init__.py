"""A run or a checkpoint as one HTML page that needs no network."""

from lightning_factorlens.report.page import render
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject

__all__ = ["Section", "Subject", "for_each", "render"]
