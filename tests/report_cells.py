"""The cells of tables in Markdown."""

import re


def cells(report):
    """The cells of every row of a table; a bar that is escaped divides none."""
    rows = []
    for line in report.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows
