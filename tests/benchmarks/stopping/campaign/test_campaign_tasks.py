"""The second stopping campaign's tasks: the split, its counts, the data of both parts, the schedules."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.stopping.campaign import data, sources, swapped_sources
from benchmarks.stopping.campaign.erasing import erased
from benchmarks.stopping.campaign.label_noise import structured_noise
from benchmarks.stopping.campaign.pretraining import pretraining_images
from benchmarks.stopping.campaign.schedules import rate_factor
from benchmarks.stopping.campaign.tasks import CONFIRMATION, DEVELOPMENT, SPLIT, TASKS, THIRD, queue, split

MNIST = TASKS["mnist-cnn16-1000-noise20-imbalanced"]


@pytest.fixture
def digits(monkeypatch):
    """Stands for MNIST and CIFAR-10: constant images whose grey value is a serial number within the file."""

    def files(folder):
        arrays = []
        for n in (4000, 8000):
            serial = np.arange(n)
            x = np.zeros((n, 1, 32, 32), dtype=np.float32) + serial[:, None, None, None]
            arrays += [x, (serial % 10).astype(np.uint8)]
        return tuple(arrays)

    monkeypatch.setattr(sources, "mnist", files)
    monkeypatch.setattr(sources, "cifar10", files)
    monkeypatch.setattr(sources, "normalized", lambda x, by: x.astype(np.float32))
    monkeypatch.setattr(swapped_sources, "mnist", files)
    monkeypatch.setattr(swapped_sources, "normalized", lambda x, by: x.astype(np.float32))
    data.source.cache_clear()
    yield
    data.source.cache_clear()


def serials(x):
    return (x[:, 0, 0, 0] * 255).round().long().tolist()


def test_the_split_is_what_the_protocol_promised():
    assert json.loads(SPLIT.read_text()) == json.loads(json.dumps(split())), "run benchmarks.stopping.campaign.tasks"
    assert len(TASKS) - len(THIRD) == len(DEVELOPMENT) + len(CONFIRMATION) >= 60 and len(CONFIRMATION) >= 40
    plateaus = [task for task in CONFIRMATION if task.is_long_plateau]
    assert len(plateaus) >= 12 and {task.augment for task in plateaus} == {True, False}
    assert sum(task.is_long_plateau for task in DEVELOPMENT) >= 3
    assert {task.regime for task in CONFIRMATION} == {task.regime for task in DEVELOPMENT}
    assert {task.net for task in CONFIRMATION} - {task.net for task in DEVELOPMENT} >= {"resnet18", "gru", "cnn24"}
    for task in TASKS.values():
        assert task.schedule != "restarts" or sum(task.cycles) == task.epochs
        assert all(0 < drop < task.epochs for drop in task.drops)
    first = queue(DEVELOPMENT, 2)[: len(DEVELOPMENT)]
    assert [seed for _, seed in first] == [200] * len(DEVELOPMENT)


def test_the_third_part_is_what_the_protocol_promised():
    assert {task.kind for task in THIRD} == {"classes"}
    tables_and_sequences = ("friedman", "checks", "scanlines", "walks", "motifs")
    assert sum(task.dataset not in tables_and_sequences for task in THIRD) >= 40
    plateaus = [task for task in THIRD if task.is_long_plateau]
    augmented = sum(task.augment for task in plateaus)
    assert len(plateaus) >= 13 and 0.4 * len(plateaus) <= augmented <= 0.6 * len(plateaus)
    assert sum(task.healthy for task in THIRD) >= 12
    annealed_noise = [task for task in THIRD if task.cell == "noisy annealed" and not task.is_long_plateau]
    assert sum(task.noise > 0 for task in THIRD) >= 15 and len(annealed_noise) >= 6
    earlier = (*DEVELOPMENT, *CONFIRMATION)
    assert not {task.dataset for task in THIRD} & {task.dataset for task in earlier}
    assert not {task.net for task in THIRD} & {task.net for task in earlier}
    entry = json.loads(SPLIT.read_text())["confirmation"][0]
    assert "erase" not in entry and "noise_kind" not in entry, "earlier entries stay as they were"


def test_both_parts_draw_from_different_halves_and_a_runs_parts_are_disjoint(digits):
    found = {}
    for part in ("development", "confirmation"):
        parts = data.load("", replace(MNIST, part=part, imbalance=1.0), 300)
        assert [len(x) for x in (parts.train_x, parts.val_x, parts.probe_x, parts.test_x)] == [900, 100, 256, 800]
        labeled = serials(torch.cat([parts.train_x, parts.val_x]))
        others = serials(torch.cat([parts.probe_x, parts.test_x]))
        assert len(set(labeled)) == 1000 and len(set(others)) == 1056
        assert int((parts.train_y != parts.train_true).sum() + (parts.val_noisy != parts.val_clean).sum()) == 200
        found[part] = (set(labeled), set(others))
    assert not found["development"][0] & found["confirmation"][0]
    assert not found["development"][1] & found["confirmation"][1]


def test_the_third_part_takes_labeled_samples_and_probe_from_one_file_and_the_test_from_the_other(digits):
    parts = data.load("", replace(TASKS["parity-vgg-600-noise30-rmsprop"], images=1000), 400)
    assert [len(x) for x in (parts.train_x, parts.val_x, parts.probe_x, parts.test_x)] == [900, 100, 256, 800]
    drawn = serials(torch.cat([parts.train_x, parts.val_x, parts.probe_x]))
    assert len(set(drawn)) == 1256 and max(drawn) > 4000, "the test file has 8000 images"
    assert len(set(serials(parts.test_x))) == 800 and max(serials(parts.test_x)) < 4000


@pytest.mark.parametrize("kind", ["pair", "some_classes", "features"])
def test_structured_noise_changes_as_many_labels_as_said_and_the_right_ones(kind):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 500)
    samples = (labels[:, None] + rng.standard_normal((500, 3))).astype(np.float32)
    noisy = structured_noise(samples, labels, 0.2, 4, rng, kind)
    changed = noisy != labels
    assert changed.sum() == 100 and set(noisy) <= set(range(4))
    if kind == "pair":
        assert (noisy[changed] == (labels[changed] + 1) % 4).all()
    elif kind == "some_classes":
        assert labels[changed].max() == 1
    else:
        assert (abs(noisy[changed] - labels[changed]) == 1).mean() > 0.9, "the classes lie in a row"


def test_an_erased_square_is_half_as_wide_as_the_image():
    images = erased(torch.ones(400, 3, 16, 16), torch.Generator().manual_seed(0))
    sizes = (images[:, 0] == 0).sum((1, 2))
    assert sizes.max() == 64 and sizes.min() >= 16 and len(set(sizes.tolist())) > 3


def test_imbalance_and_other_class_frequencies_of_the_probe_are_as_said(digits):
    parts = data.load("", replace(MNIST, images=500), 301)
    counts = torch.cat([parts.train_true, parts.val_clean]).bincount(minlength=10).sort(descending=True).values
    assert counts[0] > 8 * counts[-1]
    uneven = data.load("", replace(MNIST, images=500, probe="classes", imbalance=1.0), 301)
    assert uneven.probe_y.bincount(minlength=10).max() > 2.5 * uneven.test_y.bincount(minlength=10).max() * 256 / 800


@pytest.mark.parametrize("part", ["development", "confirmation"])
def test_pretraining_shares_neither_classes_nor_images_with_its_task(digits, part):
    task = replace(TASKS["cifar10-cnn16-500-transfer"], part=part)
    own, other = sources.images("", task), pretraining_images("", task)
    assert set(own.labeled_y) == set(other[1].tolist()) == set(range(5))
    assert not set(serials(torch.from_numpy(own.labeled_x))) & set(serials(other[0]))


def test_masks_and_pairs_get_as_many_wrong_labels_as_said():
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 10, (200, 2))
    assert (data.wrong(pairs, 0.3, 10, rng) != pairs).any(1).sum() == 60
    masks = rng.integers(0, 2, (50, 4, 4))
    assert (data.wrong(masks, 0.2, 2, rng) != masks).any((1, 2)).sum() == 10


def test_rates_rise_fall_and_restart_where_they_should():
    def rates(name):
        task = TASKS[name]
        return [rate_factor(task, step, 10) for step in range(10 * task.epochs)]

    plateau = rates("cifar10-cnn8-1000-plateau")
    assert plateau[1599] == 1 and plateau[1600] == pytest.approx(0.1)
    restarts = rates("cifar10-cnn24-1500-restarts-doubling")
    assert [k for k, rate in enumerate(restarts) if rate == 1.0] == [0, 100, 300]
    cycle = rates("mnist-cnn16-1000-noise30-onecycle")
    assert cycle[0] == pytest.approx(0.04) and max(cycle) == pytest.approx(1.0) and cycle[-1] < 1e-3
    assert np.argmax(cycle) == pytest.approx(0.3 * len(cycle), abs=1)
    assert rates("walks-lstm-600-noise20-cosine")[-1] < 1e-3
    assert rates("turned-vgg-1000-nesterov-linear")[200] == pytest.approx(0.5)
    assert rates("turned-allconv-1000-noise40-polynomial")[225] == pytest.approx(0.25)
    assert rates("animals-mixer-1000-exponential")[-1] == pytest.approx(0.01, rel=0.02)
    warmed = rates("mammals-convnext-1000-adamw-warmup")
    assert warmed[0] == pytest.approx(0.05) and min(warmed[40:]) == max(warmed) == 1.0
    warm = rates("mnist-vit-1000-noise20-adamw-warmup-cosine")
    assert np.argmax(warm) == 50 and warm[0] < 0.03
