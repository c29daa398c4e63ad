"""The README shows only what runs."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


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
    return {"model": Model(), "images": images, "train_loader": loader, "val_loader": loader}


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.split("\n")[-2].strip()[:40])
def test_block_runs(code, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code.replace("max_epochs=60", "max_epochs=2"), names)


def test_the_readme_names_only_files_that_exist():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"(examples/\w+\.py)", text):
        assert (ROOT / path).exists(), path


TOPICS = ("overhead", "papers", "safety", "solver", "spectra", "stopping")


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
        ROOT / "README.md",
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
