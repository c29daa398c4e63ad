"""The examples run as their docstrings say; those that need data are skipped where there is none."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("FACTORLENS_DATA", "data"))


def run(*command, cwd):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_digits(tmp_path):
    out = run(ROOT / "examples/digits.py", "--epochs", "3", cwd=tmp_path)
    assert "No stop before max_epochs = 3 ended the run: factorlens/consistency" in out
    assert len(re.findall(r"^  \d+\.\d%  ", out, re.MULTILINE)) == 3, "the best, the last and the restored weights"
    assert "tensorboard --logdir runs/digits" in out
    assert len([line for line in out.splitlines() if line.strip()[:1].isdigit()]) == 4
    run(ROOT / "examples/curves.py", "runs/digits/version_0", "curves.png", cwd=tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 20_000


@pytest.mark.slow
def test_mnist(tmp_path):
    if not (DATA / "MNIST").exists():
        pytest.skip(f"no MNIST below {DATA}: set FACTORLENS_DATA")
    out = run(ROOT / "examples/mnist.py", "--data-dir", DATA, "--epochs", "3", cwd=tmp_path)
    restored = re.search(r"^  ([\d.]+)%  with the weights that the model has now", out, re.MULTILINE)
    assert float(restored[1]) > 97


@pytest.mark.slow
def test_cifar10_resnet(tmp_path):
    if not (DATA / "cifar10.npz").exists():
        pytest.skip(f"no cifar10.npz in {DATA}: set FACTORLENS_DATA")
    out = run(ROOT / "examples/cifar10_resnet.py", "--data", DATA / "cifar10.npz", "--images", "2000", cwd=tmp_path)
    assert "tensorboard --logdir" in out


def test_plain_pytorch(tmp_path):
    out = run(ROOT / "examples/plain_pytorch.py", "--epochs", "2", cwd=tmp_path)
    assert "Observation of epoch 2" in out
    assert "the model has the weights of epoch 2" in out
    assert len((tmp_path / "runs/plain/observations.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "runs/plain/observation.png").stat().st_size > 20_000
