"""What is shipped: one version everywhere, and a source distribution with everything that the tests need."""

import re
import subprocess
from pathlib import Path

import pytest

import lightning_factorlens

ROOT = Path(__file__).parents[1]
#: Files that only the repository needs.
REPOSITORY_ONLY = {".gitignore"}


def test_citation_and_changelog_have_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE).group(1) == lightning_factorlens.__version__
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1)
    assert newest == lightning_factorlens.__version__


def test_the_package_index_links_to_the_documentation():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    page = re.search(r'^Documentation = "https://github\.com/[^/]+/[^/]+/blob/main/(.*)"$', project, re.MULTILINE)
    assert page is not None, "Documentation has to be a page of the repository or of a site, not the README"
    assert (ROOT / page[1]).is_file()
    assert page[1].startswith("docs/")


def test_the_source_distribution_has_every_tracked_file():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    whole_folders = {"lightning_factorlens"}
    named = {"README.md", "LICENSE", "pyproject.toml", "MANIFEST.in"}  # setuptools adds them
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        command, *words = line.split()
        if command == "include":
            named |= set(words)
        elif command in ("graft", "recursive-include"):
            whole_folders.add(words[0])
    tracked = set(listed.stdout.splitlines()) - REPOSITORY_ONLY
    missing = {path for path in tracked if path not in named and Path(path).parts[0] not in whole_folders}
    assert not missing, "add them to MANIFEST.in"


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds():
    project = (ROOT / "pyproject.toml").read_text()
    bounds = dict(re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)', project))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci" / "floor.txt").read_text(), re.MULTILINE))
    required = project.split("dependencies = [")[1].split("]\n")[0]
    assert set(re.findall(r'^ *"([\w-]+)', required, re.MULTILINE)) <= set(pinned)
    for name, version in pinned.items():
        assert version.startswith(bounds[name]), name
