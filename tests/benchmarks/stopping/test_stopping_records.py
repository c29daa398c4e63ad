"""The stopping study's protocol and recorder: the split, the data, a record that is cut, the derived signals."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.reporting import ROOT
from benchmarks.stopping import data
from benchmarks.stopping.jobs import queue
from benchmarks.stopping.make_records import derive, read, read_raw, write
from benchmarks.stopping.networks import NETS, build
from benchmarks.stopping.record import record, work
from benchmarks.stopping.signals.probe_series import FAMILIES
from benchmarks.stopping.signals.supervised.gradient_alignment import (
    gradient_weight_alignment,
    gradient_weight_alignments,
)
from benchmarks.stopping.signals.training_series import alignment_score
from benchmarks.stopping.tasks import CONFIRMATION, DEVELOPMENT, SPLIT, TASKS, record_name, split
from benchmarks.stopping.training_run import Run, rate_factor

TINY = replace(TASKS["mnist-cnn8-500"], images=300, epochs=2, noise=0.4, dropout=0.3, augment=True)


def write_idx(path, array):
    header = 16 if array.ndim > 1 else 8
    path.write_bytes(bytes(header) + array.tobytes())


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Images in the layout of MNIST's files: noise around a bar that the class places; three pixels are a serial number."""
    folder = tmp_path_factory.mktemp("data")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 2000), ("t10k", 5000)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        x = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        x[np.arange(n), 4 + 2 * labels, 4:24] = 255
        serial = np.arange(n) + (0 if part == "train" else 1 << 16)
        for k in range(3):
            x[:, 0, k] = serial >> 8 * k & 255
        write_idx(raw / f"{part}-images-idx3-ubyte", x)
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
    return folder


def serials(images):
    mean, std = data.STATISTICS["mnist"]
    pixels = ((images[:, 0, 0, :3] * std[0] + mean[0]) * 255).round().long()
    return set((pixels << torch.tensor([0, 8, 16])).sum(1).tolist())


def test_split_is_the_registry_and_its_parts_share_nothing():
    assert json.loads(SPLIT.read_text()) == json.loads(json.dumps(split())), "run python -m benchmarks.stopping.tasks"
    names = [t.name for t in (*DEVELOPMENT, *CONFIRMATION)]
    assert len(set(names)) == len(names) == len(TASKS)
    settings = [json.dumps({**vars(t), "name": 0, "part": 0, "seeds": 0}, default=str) for t in TASKS.values()]
    assert len(set(settings)) == len(settings)
    assert not {s for t in DEVELOPMENT for s in t.seeds} & {s for t in CONFIRMATION for s in t.seeds}
    assert {t.net for t in CONFIRMATION} - {t.net for t in DEVELOPMENT} >= {"resnet18", "cnn24"}


def test_split_is_complete():
    everything = [*DEVELOPMENT, *CONFIRMATION]
    assert sum(len(t.seeds) for t in everything) >= 60
    for part in (DEVELOPMENT, CONFIRMATION):
        assert {t.dataset for t in part} == {"mnist", "cifar10"}
        assert {t.noise for t in part} == {0.0, 0.2, 0.4}
        assert {t.schedule for t in part} == {"constant", "step", "cosine"}
        assert {t.optimizer for t in part} == {"adam", "sgd"}
        assert any(t.imbalance > 1 for t in part)
        assert any(t.augment for t in part) and any(t.dropout for t in part)
        assert sum(t.healthy for t in part) >= 3
    assert {t.net for t in everything} == set(NETS)
    assert min(t.images for t in everything) == 500 and max(t.images for t in everything) == 20000
    first = [record_name(t, s) for t, s in queue(TASKS.values())][: len(DEVELOPMENT)]
    assert first == [record_name(t, t.seeds[0]) for t in DEVELOPMENT], "every task's first seed before any second"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_as_many_labels_are_wrong_as_said(share):
    labels = np.random.default_rng(1).integers(0, 10, 4000).astype(np.uint8)
    noisy = data.wrong_labels(labels, share, np.random.default_rng(2))
    assert (noisy != labels).sum() == round(share * 4000)
    assert noisy.min() >= 0 and noisy.max() <= 9
    if share:  # every other class is as likely as the next: χ² with 8 degrees of freedom stays below its 0.1 % point
        steps = np.bincount((noisy - labels.astype(int)) % 10, minlength=10)[1:]
        assert (((steps - steps.mean()) ** 2) / steps.mean()).sum() < 26.1


def test_parts_are_disjoint_and_of_the_said_size(digits):
    parts = data.load(digits, TINY, 0)
    images = (parts.train_x, parts.val_x, parts.probe, parts.fresh, parts.test_x)
    assert [len(x) for x in images] == [270, 30, 256, 128, 2000]
    found = [serials(x) for x in images]
    assert len(set().union(*found)) == sum(map(len, found)) == sum(map(len, images))
    wrong = torch.cat([parts.train_y != parts.train_true, parts.val_noisy != parts.val_clean])
    assert int(wrong.sum()) == 120
    other = data.load(digits, replace(TINY, part="confirmation"), 100)
    for mine in (other.train_x, other.val_x, other.probe, other.fresh, other.test_x):
        assert not serials(mine) & set().union(*found), "development and confirmation draw from different halves"


def test_imbalance_is_as_said(digits):
    counts = data.class_counts(1000, 20.0)
    assert counts.sum() == 1000 and (np.diff(counts) < 0).all()
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.1)
    parts = data.load(digits, replace(TINY, images=400, noise=0.0, imbalance=20.0), 3)
    seen = torch.cat([parts.train_true, parts.val_clean]).bincount(minlength=10).sort(descending=True).values
    assert seen[0] > 6 * seen[-1]
    assert parts.test_y.bincount().min() > 150


@pytest.mark.parametrize("name", sorted(NETS))
def test_nets_answer_and_their_body_is_the_penultimate_layer(name):
    model = build(name, (3, 32, 32), 0.1, 0).eval()
    x = torch.randn(3, 3, 32, 32)
    assert model(x).shape == (3, 10)
    assert torch.allclose(model(x), model.head(model.body(x)), atol=1e-5)
    assert torch.equal(model.head.weight, build(name, (3, 32, 32), 0.1, 0).head.weight)


def test_rates():
    step, cosine = replace(TINY, schedule="step"), replace(TINY, schedule="cosine")
    assert [rate_factor(step, k, 100) for k in (0, 49, 50, 74, 75, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert [rate_factor(cosine, k, 100) for k in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert rate_factor(TINY, 70, 100) == 1


def test_augmentation_moves_images_by_whole_pixels():
    x = torch.randn(40, 2, 9, 9)
    moved = data.augmented(x, True, torch.Generator().manual_seed(0), reach=2)
    padded = torch.nn.functional.pad(x, (2,) * 4, mode="replicate")
    for image, out in zip(padded, moved):
        crops = [image[:, a : a + 9, b : b + 9] for a in range(5) for b in range(5)]
        assert any(torch.equal(out, c) or torch.equal(out, c.flip(-1)) for c in crops)
    assert not torch.equal(moved, x)


def test_measuring_changes_nothing_of_the_training(digits):
    torch.set_num_threads(1)
    runs = []
    for is_measured in (True, False):
        run = Run(replace(TINY, net="resnet8"), 0, digits)
        run.train_epoch()
        if is_measured:
            run.measure()
        run.train_epoch()
        runs.append(run.model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(runs[0].values(), runs[1].values()))


@pytest.fixture(scope="session")
def tiny(digits, tmp_path_factory):
    """A whole record."""
    return record(TINY, 0, digits, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
def test_a_record_that_was_cut_is_made_again_with_the_same_numbers(digits, tiny, tmp_path):
    code = f"""
from dataclasses import replace
from pathlib import Path
from benchmarks.stopping.record import work
from benchmarks.stopping.signals.training_series import alignment_score
from benchmarks.stopping.tasks import TASKS
task = replace(TASKS["mnist-cnn8-500"], images=300, epochs=2000, noise=0.4, dropout=0.3, augment=True)
work([(task, 0)], Path({str(digits)!r}), Path({str(tmp_path)!r}))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and "1/2000" in process.stdout.readline()
    work([(TINY, 0)], digits, tmp_path)
    assert not list(tmp_path.glob("*.npz")), "another process that lives has the job"
    process.kill()
    process.communicate()
    assert [f.suffix for f in tmp_path.iterdir()] == [".lock"]
    work([(TINY, 0)], digits, tmp_path)
    (path,) = tmp_path.iterdir()
    (meta, arrays), (meta_whole, arrays_whole) = read_raw(path), read_raw(tiny)
    assert all(np.array_equal(arrays[k], v, equal_nan=v.dtype.kind == "f") for k, v in arrays_whole.items())
    times = ("probe_seconds", "lens_seconds", "label_seconds")
    for name, values in meta_whole["series"].items():
        assert name in times or json.dumps(values) == json.dumps(meta["series"][name]), name
    before = path.stat().st_mtime_ns
    work([(TINY, 0)], digits, tmp_path)
    assert path.stat().st_mtime_ns == before, "a finished record is left alone"


def test_derived_signals_are_those_of_the_raw_outputs(tiny, tmp_path):
    meta, arrays = read_raw(tiny)
    path = tmp_path / "record.json.gz"
    write(path, derive(meta, arrays))
    derived = read(path)
    assert derived["task"]["noise"] == 0.4 and derived["seed"] == 0
    assert {name.partition("/")[0] for name in derived["signals"]} == {
        "probe",
        "factors",
        "weights",
        "images",
        "labels",
    }
    for group in ("hidden", "validation", "training", "signals", "seconds"):
        assert all(len(series) == 2 for series in derived[group].values())
    assert not any("test" in name or "val" in name.split("/") for name in derived["signals"])
    # The formula of the first study, written out: −log p(ŷ | T x), mean over images.
    rung = meta["ladder"].index("shift/+1+1")
    z = arrays["probe_logits"].astype(np.float64)
    log_p = z[:, rung] - np.log(np.exp(z[:, rung]).sum(-1, keepdims=True))
    for t in range(2):
        expected = -np.mean([row[k] for row, k in zip(log_p[t], z[t, 0].argmax(1))])
        assert derived["signals"]["probe/hard/shift/+1+1"][t] == pytest.approx(expected, rel=1e-4)
    changed = (arrays["train_predictions"][1] != arrays["train_predictions"][0]).mean()
    assert derived["signals"]["images/label_wave"] == [None, pytest.approx(changed, rel=1e-4)]


def test_families_partition_the_shifts(tiny):
    ladder = read_raw(tiny)[0]["ladder"]
    members = {f: [r for r in ladder if belongs(r)] for f, belongs in FAMILIES.items()}
    assert {f: len(m) for f, m in members.items()} == {
        "shifts0.5": 2, "shifts1": 8, "shifts2": 4, "shifts3": 2, "shifts": 16,
        "edge": 2, "noise": 3, "dropout": 2, "weight_noise": 2,
    }  # fmt: skip
    assert sorted(r for k in ("0.5", "1", "2", "3") for r in members[f"shifts{k}"]) == sorted(members["shifts"])


def test_alignment_is_summed_up_as_the_package_does():
    g = torch.Generator().manual_seed(0)
    features, weight = torch.rand(50, 6, generator=g), torch.randn(10, 6, generator=g)
    logits, labels = features @ weight.T, torch.randint(0, 10, (50,), generator=g)
    cosines = gradient_weight_alignments(logits, labels, features, weight)
    expected = gradient_weight_alignment(logits, labels, features, weight)
    assert alignment_score(cosines) == pytest.approx(expected, rel=1e-9)
