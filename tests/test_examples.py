"""The examples run as their docstrings say; those that need data are skipped where there is none."""

import csv
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lightning_factorlens.results import Observation, RankCurve, RankCurves, RequiredRank, RequiredRanks, Scalars

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("FACTORLENS_DATA", "data"))


def run(*command, cwd):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def shared():
    spec = importlib.util.spec_from_file_location("shared", ROOT / "examples/shared.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def columns(shared, observation, epoch=3):
    report = shared.Report(SimpleNamespace(observation=observation), torch.zeros(1), torch.zeros(1), tau=30)
    return report._measured(epoch)


def observed(**records):
    return Observation(epoch=3, step=30, records={"consistency": Scalars({"consistency": 0.5}), **records})


def test_the_report_leaves_blank_what_an_observation_has_not_measured(shared):
    errors = (0.5, 0.25, 0.125)
    curves = RankCurves({"total": RankCurve(shared.RANKS, errors, errors, errors)})
    alpha = Scalars({"mean_alpha": 2.5})
    ranks = RequiredRanks((RequiredRank(0.3, 7.5, is_lower_bound=False),))
    full = columns(shared, observed(curves=curves, ranks=ranks, alpha=alpha))
    assert full.split() == ["0.5000", "0.2500", "0.1250", "7.5", "2.50", "0.5000"]
    signal_only = columns(shared, observed())
    assert signal_only.split() == ["0.5000"]
    assert len(signal_only) == len(full)
    assert columns(shared, None).strip() == columns(shared, observed(), epoch=4).strip() == ""


def test_the_report_prints_at_the_end_what_has_been_measured_since_the_last_epoch(shared, capsys):
    lens = SimpleNamespace(observation=observed())
    report = shared.Report(lens, torch.zeros(1), torch.zeros(1), tau=30)
    report.accuracies = [0.1, 0.2, 0.3, 0.4]
    report.last_measured = report._measured(3)
    report.on_train_end(None, None)
    assert capsys.readouterr().out == "", "nothing new"
    lens.observation = observed(alpha=Scalars({"mean_alpha": 2.5}))
    report.on_train_end(None, None)
    assert capsys.readouterr().out.split() == ["end", "2.50", "0.5000", "|"]


@pytest.mark.parametrize(("rank", "capped", "shown"), [(32.0, True, "> 32.0"), (31.5, False, "31.5")])
def test_the_report_shows_a_capped_rank_as_capped(rank, capped, shown, shared):
    ranks = RequiredRanks((RequiredRank(0.3, rank, is_lower_bound=capped),))
    assert columns(shared, observed(ranks=ranks)).split("0.5000")[0].strip() == shown


def test_the_report_shows_no_rank_where_there_is_none(shared):
    ranks = RequiredRanks((RequiredRank(0.3, float("nan"), is_lower_bound=True),))
    assert columns(shared, observed(ranks=ranks)).split() == ["0.5000"]


def test_digits(tmp_path):
    out = run(ROOT / "examples/digits.py", "--epochs", "3", cwd=tmp_path)
    assert "No stop before max_epochs = 3 ended the run: factorlens/accuracy_signal" in out
    assert len(re.findall(r"^  \d+\.\d%  ", out, re.MULTILINE)) == 3, "the best, the last and the restored weights"
    assert "tensorboard --logdir runs/digits" in out
    assert len(re.findall(r"^ +\d+  .* \| ", out, re.MULTILINE)) == 4
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


@pytest.mark.slow  # tests/capture/test_wrapped_model.py covers the lens in Fabric
@pytest.mark.parametrize("options", [(), ("--devices", "2")], ids=["one", "two"])
def test_plain_fabric(options, tmp_path):
    out = run(ROOT / "examples/plain_fabric.py", "--epochs", "1", *options, cwd=tmp_path)
    assert len(re.findall(r"^epoch [01] \| consistency", out, re.MULTILINE)) == 2
    assert re.search(r"^1 +ReLU", out, re.MULTILINE), "layers have their names in the network"
    rows = list(csv.DictReader((tmp_path / "runs/fabric/metrics.csv").open()))
    assert float(rows[-1]["factorlens/consistency"]) > 0
    assert float(rows[-1]["factorlens/memorization_gap"]) >= 0, "the loop says its training losses"
