"""The error of a report that cannot be made."""

from __future__ import annotations


class ReportError(ValueError):
    """A report cannot be made; the message names what was found, what is allowed and what to do."""
