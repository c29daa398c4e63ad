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


def test_every_section_of_the_benchmarks_names_the_command_that_writes_it():
    text = (ROOT / "benchmarks/README.md").read_text()
    sections = re.findall(r"<!-- (.*?): begin -->\n(.*?)<!-- \1: end -->", text, re.DOTALL)
    assert len(sections) > 10
    for name, section in sections:
        command = re.search(r"`python (?:-m )?(benchmarks[\w./]*)[^`]*`", section)
        assert command, f"{name}: no command"
        path = ROOT / command[1]
        modules = (
            path,
            ROOT / f"{command[1].replace('.', '/')}.py",
            ROOT / command[1].replace(".", "/") / "__main__.py",
        )
        assert any(module.is_file() for module in modules), f"{name}: {command[1]}"
