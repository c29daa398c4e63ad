"""The documentation shows only what runs, links only to what exists, and repeats nothing that the code declares."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lightning_factorlens
from lightning_factorlens import concepts, default_measurements, stopping
from lightning_factorlens.loggers.figure_schedule import numbered_figures

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROJECT_PAGES = [ROOT / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")]
LINKED_PAGES = [*PAGES, *PROJECT_PAGES, *sorted((ROOT / "benchmarks").rglob("*.md"))]
#: Addresses of this repository's files. The README has no others, because a package index shows it without the files.
REPOSITORY = re.compile(
    r"https://(?:github\.com/lightning-factorlens/lightning-factorlens/(?:blob|tree)"
    r"|raw\.githubusercontent\.com/lightning-factorlens/lightning-factorlens)/main/"
)


def relative(page):
    return page.relative_to(ROOT).as_posix()


def code_blocks(language):
    """Every block of the pages: (id, code); one that several pages repeat word for word is that of the first page."""
    found = {}
    for page in PAGES:
        blocks = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for number, code in enumerate(blocks, start=1):
            found.setdefault(code, pytest.param(code, id=f"{relative(page)}-{number}"))
    return list(found.values())


@pytest.fixture
def names():
    from models import Classifier

    class Model(Classifier):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3))

        def forward(self, x):
            return self.net(x)

    torch.manual_seed(0)
    images = torch.rand(48, 1, 8, 8)
    data = TensorDataset(images, torch.randint(0, 3, (48,)))
    loader = DataLoader(data, 16)
    return {"__name__": "block", "model": Model(), "images": images, "train_loader": loader, "val_loader": loader}


@pytest.mark.parametrize("code", code_blocks("python"))
def test_every_python_block_runs(code, names, tmp_path, monkeypatch):
    if "from transformers" in code:
        pytest.importorskip("transformers", reason="transformers is not installed")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("max_epochs=60", "max_epochs=2"), names)


@pytest.mark.parametrize("code", code_blocks("yaml"))
def test_every_yaml_block_is_read_by_the_lightning_cli(code, tmp_path, monkeypatch):
    pytest.importorskip("jsonargparse")
    from lightning.pytorch.cli import LightningCLI
    from lightning.pytorch.demos.boring_classes import BoringModel

    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(code)
    cli = LightningCLI(BoringModel, run=False, args=["--config", "config.yaml"], save_config_callback=None)
    callbacks = [type(callback).__name__ for callback in cli.trainer.callbacks]
    for name in re.findall(r"class_path: lightning_factorlens\.(\w+)$", code, re.MULTILINE):
        assert name in callbacks


def anchors(page):
    """Names of a page's headings, as links have them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED_PAGES, ids=relative)
def test_every_local_link_leads_to_something(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        is_absolute = REPOSITORY.match(target) is not None
        if re.match(r"[a-z]+:", target) and not is_absolute:
            continue
        path, _, anchor = REPOSITORY.sub("", target).partition("#")
        folder = ROOT if is_absolute else page.parent
        linked = (folder / path).resolve() if path else page
        assert linked.exists(), f"{relative(page)} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{relative(page)} links to {target}"


def test_the_examples_that_the_documentation_names_exist():
    for page in PAGES:
        for path in re.findall(r"(examples/\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{relative(page)} names {path}"


def test_the_page_of_functions_lists_all_of_concepts():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert [name for name in concepts.__all__ if f"`{name}`" not in page] == []


#: What has no name at the top level: a package has the same name, `measurements` has classes of the same names, or it is
#: an attribute of a package there, as ``lightning_factorlens.plots.hasse_figure``.
BELOW_THE_TOP = re.compile(r"(hierarchy\.hierarchy|metrics\.torchmetrics\.\w+|plots\.\w+)$")


def test_what_the_documentation_imports_has_a_name_at_the_top_level():
    for parameter in code_blocks("python"):
        for node in ast.walk(ast.parse(parameter.values[0])):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("lightning_factorlens."):
                continue
            if "integrations" in node.module:  # imports what need not be installed
                continue
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                if not BELOW_THE_TOP.search(f"{node.module}.{name}"):
                    found = getattr(lightning_factorlens, name, None)
                    assert found is getattr(module, name), f"add {name} of {node.module} to _public_names.py"


def test_rules_that_the_documentation_names_have_a_name_at_the_top_level():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = [name for name in stopping.__all__ if re.search(rf"`{name}(\(.*?\))?`", text)]
    assert "Patience" in shown
    assert [name for name in shown if not hasattr(lightning_factorlens, name)] == []


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    words = [word for word in text.split() if re.search(r"\w", word)]  # not the bars of tables
    assert len(words) <= 800
    assert len(text.split()) <= 800, "wc -w counts the bars of tables too"


def test_the_readme_begins_with_the_installation_and_shows_its_links_and_images_anywhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "Install"
    assert [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith("https://")] == []
    assert all("raw.githubusercontent.com" in image for image in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text))


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_tags_is_the_generated_one():
    make_tags = load_script("make_tags")
    assert make_tags.PAGE.read_text(encoding="utf-8") == make_tags.page(), "run python docs/make_tags.py"


DEMO = """\
FactorLens observes these layers:
epoch  rmse@1   rank@30%  consistency | test loss  accuracy
    0  0.0662        2.9              |    2.2994     13.6%
    1                          2.0397 |    2.1474     29.6%
    2                          1.0397 |    1.1474     89.6%
    3                          0.9397 |    1.0474     91.6%
    4                          0.9399 |    1.0474     91.0%
    5                          0.9999 |    1.1474     89.6%
  end  0.0762       12.9       0.9999 |
Stopped after epoch 5, without labels: no new low.
Test accuracy, known to this report alone:
  89.6%  with the weights that the model has now (epoch 3)
To see the curves: tensorboard --logdir runs/digits
"""


def test_the_readme_gets_the_demos_first_restored_and_last_epoch():
    make_demo = load_script("make_demo")
    shown = make_demo.shortened(DEMO).splitlines()
    assert [line[:5].strip() for line in shown[:6]] == ["epoch", "0", "…", "3", "…", "5"]
    assert shown[6:] == DEMO.splitlines()[8:12]
    page = f"above\n{make_demo.BEGIN}\nold\n{make_demo.END}\nbelow\n"
    written = make_demo.with_demo(page, DEMO)
    assert written.startswith("above\n") and written.endswith("below\n") and "old" not in written
    assert make_demo.with_demo(written, DEMO) == written
    with pytest.raises(ValueError, match="no table of epochs"):
        make_demo.shortened("nothing")


def test_the_demos_lines_have_their_place_in_the_readme():
    make_demo = load_script("make_demo")
    text = make_demo.README.read_text(encoding="utf-8")
    assert text.count(make_demo.BEGIN) == text.count(make_demo.END) == 1


def test_the_screenshots_name_the_figures_of_the_default_measurements():
    pytest.importorskip("playwright")
    assert tuple(numbered_figures(default_measurements())) == load_script("screenshots").FIGURES


TOPICS = (
    "concepts",
    "hierarchy",
    "model_families",
    "overhead",
    "papers",
    "safety",
    "scale",
    "solver",
    "spectra",
    "stopping",
    "visualization",
)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_section_of_a_benchmark_names_the_command_that_writes_it(topic):
    text = (ROOT / "benchmarks" / topic / "README.md").read_text()
    sections = re.findall(r"<!-- (.*?): begin -->\n(.*?)<!-- \1: end -->", text, re.DOTALL)
    assert sections
    for name, section in sections:
        command = re.search(r"`python -m (benchmarks\.[\w.]+)[^`]*`", section)
        assert command, f"{topic}, {name}: no command"
        assert runs_as_module(command[1]), f"{topic}, {name}: {command[1]}"


def runs_as_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_every_benchmark_command_in_the_documentation_is_a_module():
    files = [
        *PAGES,
        ROOT / "Makefile",
        *(ROOT / "benchmarks").rglob("*.md"),
        *(ROOT / "benchmarks").rglob("*.py"),
    ]
    commands = {c for f in files for c in re.findall(r"python -m (benchmarks\.\w+(?:\.\w+)*)", f.read_text())}
    assert {f"benchmarks.{topic}" for topic in TOPICS} <= commands
    missing = [command for command in commands if command != "benchmarks.TOPIC" and not runs_as_module(command)]
    assert not missing


def test_no_benchmark_changes_the_import_path():
    for file in (ROOT / "benchmarks").rglob("*.py"):
        assert "sys.path" not in file.read_text(), file


def test_the_table_of_benchmarks_links_to_sections_that_exist():
    text = (ROOT / "benchmarks/README.md").read_text()
    links = re.findall(r"\]\(([\w/]+\.md)(?:#([\w-]+))?\)", text)
    assert {topic for topic, _ in (link[0].split("/") for link in links)} == set(TOPICS)
    for path, anchor in links:
        headings = re.findall(r"^#+ (.*)$", (ROOT / "benchmarks" / path).read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, f"{path}#{anchor}"
