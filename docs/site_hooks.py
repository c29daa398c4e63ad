"""What the documentation site needs beyond the pages in docs/: pages from elsewhere, links out of docs/, notebooks.

MkDocs calls the functions ``on_…`` (``hooks`` in mkdocs.yml). The Markdown files are
written for a code host, where links are relative to the file; here they are translated to those of the site.
"""

from __future__ import annotations

import json
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
#: Files of the repository outside docs/ that are on the site too, under the same path.
OUTSIDE = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/**/*.md", "benchmarks/**/*.png")
#: Suffixes of files in docs/ that are on the site; links to others and to folders lead to the repository.
ON_SITE = (".md", ".ipynb", ".png", ".svg")
#: Text of a picture of a notebook that has none.
FIGURE_TEXT = "Figure that the cell above draws"
#: Section of the navigation to which the notebooks are added.
NOTEBOOK_SECTION = "Gallery"
LINK = re.compile(r"\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


@cache
def outside_files() -> frozenset[str]:
    """Paths in the repository of the files of the site that are not in docs/."""
    paths = [path for pattern in OUTSIDE for path in ROOT.glob(pattern)]
    return frozenset(path.relative_to(ROOT).as_posix() for path in paths)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the notebooks to the navigation, with their headings as titles."""
    section = next(entry[NOTEBOOK_SECTION] for entry in config.nav or [] if NOTEBOOK_SECTION in entry)
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        section.append(f"notebooks/{notebook.stem}.md")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files from outside docs/, and every notebook as a page with its stored outputs."""
    for path in sorted(outside_files()):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        for uri, content in notebook_files(notebook.src_uri).items():
            files.append(File.generated(config, uri, content=content))
    return files


def notebook_files(uri: str) -> dict[str, str | bytes]:
    """A notebook as a page of Markdown and the images of its outputs.

    Args:
        uri: Path of the notebook in docs/.

    Returns:
        Contents by path in docs/. Nothing is executed.
    """
    from nbconvert import MarkdownExporter

    stem = posixpath.splitext(uri)[0]
    name = posixpath.basename(stem)
    resources = {"unique_key": name, "output_files_dir": f"{name}_files"}
    body, resources = MarkdownExporter().from_filename(str(ROOT / "docs" / uri), resources=resources)
    texts = iter(figure_texts(ROOT / "docs" / uri))
    body = re.sub(r"!\[(png|svg|jpeg)\]", lambda _: f"![{next(texts, FIGURE_TEXT)}]", body)
    source = f"*The notebook itself: [{name}.ipynb]({name}.ipynb#file), run with the outputs shown here.*\n\n"
    title, _, rest = body.lstrip().partition("\n")
    found: dict[str, str | bytes] = {f"{stem}.md": f"{title}\n\n{source}{rest}"}
    for image, content in resources["outputs"].items():
        found[posixpath.join(posixpath.dirname(uri), image)] = content
    return found


def figure_texts(path: Path) -> list[str]:
    """The text of every picture of a notebook, for readers who do not see it."""
    texts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                texts.append(output["metadata"].get("image/png", {}).get("alt", FIGURE_TEXT))
    return texts


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Translates the links of a page that lead out of docs/, or into it from outside."""
    uri = page.file.src_uri
    source = uri if uri in outside_files() else posixpath.join("docs", uri)

    def translated(link: re.Match[str]) -> str:
        target = site_target(source, link["target"], link["anchor"] or "", config.extra["repository"])
        return f"]({target})"

    return LINK.sub(translated, markdown)


def site_target(source: str, target: str, anchor: str, repository: str) -> str:
    """Where a link of a file leads on the site.

    Args:
        source: Path in the repository of the file that has the link.
        target: Target of the link, relative to the file, without its anchor.
        anchor: ``"#name"`` or ``""``.
        repository: Address of the repository.

    Returns:
        A path relative to the page, or an address in the repository for other files. A link to nothing stays
        as it is, and MkDocs reports it.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if re.match(r"[a-z]+:", target) or not (ROOT / path).exists():
        return target + anchor
    is_notebook = path.endswith(".ipynb")
    is_on_site = path in outside_files() or (path.startswith("docs/") and (ROOT / path).suffix in ON_SITE)
    if anchor == "#file" or not is_on_site:
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{repository}/{kind}/main/{path}" + anchor.replace("#file", "")
    if is_notebook:
        path = posixpath.splitext(path)[0] + ".md"
    page_folder = posixpath.dirname(source.removeprefix("docs/"))
    return posixpath.relpath(path.removeprefix("docs/"), page_folder or ".") + anchor
