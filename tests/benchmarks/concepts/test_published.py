"""The figures that `docs/concepts.md` prints are those of the committed results."""

import re

from benchmarks.concepts.published import PAGE, SECTION, known, load


def test_the_tables_in_the_page_are_those_of_the_committed_results():
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"<!-- {SECTION}: begin -->\n(.*?)\n<!-- {SECTION}: end -->", text, re.DOTALL)[1]
    assert section == known(load()), "run python -m benchmarks.concepts --parts …"
