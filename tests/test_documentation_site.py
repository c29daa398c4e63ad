"""The documentation site is built strictly, without the network, and has no dead link and every public name."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
import zlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import lightning_factorlens

ROOT = Path(__file__).parent.parent
#: Attributes of a page that a browser follows without being asked.
LOADED = re.compile(r"<(?:img|script|iframe|source)\b[^>]*?\ssrc=\"?([^\s\">]+)|<link\b[^>]*?\shref=\"?([^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning of MkDocs is an error."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("nbconvert")
    folder = tmp_path_factory.mktemp("site")
    no_network = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    settings = {"DOCS_SEARCH": "false", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **no_network, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """The pages of the site by path."""
    return {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_no_page_of_the_site_has_a_dead_link(site, pages):
    anchors = {path: set(re.findall(r"\sid=\"?([^\s\">]+)", text)) for path, text in pages.items()}
    dead = []
    for page, text in pages.items():
        if page.name == "404.html":
            continue
        for target in set(re.findall(r"\s(?:href|src)=\"?([^\s\">]+)", text)):
            url = urlsplit(target.replace("&amp;", "&"))
            if url.scheme or url.netloc:
                continue
            linked = (page.parent / unquote(url.path)).resolve() if url.path not in ("", ".") else page
            linked = linked / "index.html" if linked.is_dir() else linked
            is_alive = linked.exists() and (not url.fragment or unquote(url.fragment) in anchors.get(linked, ()))
            if not is_alive and url.fragment != "__skip":
                dead.append(f"{page.relative_to(site)}: {target}")
    assert not dead


def test_a_browser_loads_nothing_from_elsewhere(pages):
    for page, text in pages.items():
        loaded = [first or second for first, second in LOADED.findall(text)]
        assert loaded
        assert not [target for target in loaded if urlsplit(target).scheme not in ("", "data")], page


def public_names():
    """Names that the package and its packages export, by full path."""
    found = {f"lightning_factorlens.{name}" for name in lightning_factorlens.__all__ if not name.startswith("_")}
    for module in pkgutil.iter_modules(lightning_factorlens.__path__):
        if module.ispkg:
            package = importlib.import_module(f"lightning_factorlens.{module.name}")
            found |= {f"{package.__name__}.{name}" for name in getattr(package, "__all__", ())}
    return found


def test_the_reference_has_every_public_name(site):
    inventory = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    documented = {line.split()[0] for line in inventory.splitlines()}
    assert sorted(public_names() - documented) == []
