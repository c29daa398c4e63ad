"""The second stopping campaign's recorder: files, what measuring may change, averages, perturbations, the curves' table."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from benchmarks.stopping.campaign.averages import Averages, flat
from benchmarks.stopping.campaign.baseline_series import baseline_series
from benchmarks.stopping.campaign.losses import loss_and_accuracy
from benchmarks.stopping.campaign.perturbations import perturbed_probes
from benchmarks.stopping.campaign.quality import quality, table
from benchmarks.stopping.campaign.raw import ARRAYS, load
from benchmarks.stopping.campaign.record import record, work
from benchmarks.stopping.campaign.run import Run
from benchmarks.stopping.campaign.saved_weights import hidden_scores, saved_weights
from benchmarks.stopping.campaign.tasks import TASKS, run_name
from lightning_factorlens.metrics.consistency import alternating_shift

#: A task whose data a generator makes.
TINY = replace(TASKS["teacher-mlp-1500-noise20-cosine"], images=120, epochs=3, dropout=0.2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of a run, and the weights of its epochs."""
    folder = tmp_path_factory.mktemp("whole")
    return record(TINY, 300, folder, folder, folder / "weights"), folder / "weights" / f"{run_name(TINY, 300)}.npy"


def test_a_raw_file_is_read_as_it_was_described(whole):
    run = load(whole[0])
    assert run.task == TINY and run.epochs == 3 and run.name == "teacher-mlp-1500-noise20-cosine-s300"
    assert run.probe_logits.shape == (3, 256, 5) and run.probe_shifted.shape == (3, 4, 256, 5)
    assert run.train_predictions.shape == (3, 108) and len(run.learning_rates) == 3 * run.steps_per_epoch
    for labels, name in ((run.val_clean, "clean"), (run.val_noisy, "noisy")):
        outputs = torch.from_numpy(run.val_logits[-1].astype(np.float32))
        loss, accuracy = loss_and_accuracy(outputs, torch.from_numpy(labels.astype(np.int64)))
        assert loss == pytest.approx(getattr(run, f"val_{name}_loss")[-1], rel=1e-2)
        assert accuracy == pytest.approx(getattr(run, f"val_{name}_accuracy")[-1])
    assert {
        len(getattr(run, f.name)) for f in fields(run) if f.name.startswith("hidden_") and "labels" not in f.name
    } == {3}
    weights = saved_weights(whole[1].parent, TINY, 300)
    losses = [loss for loss, _ in hidden_scores(whole[0].parent, TINY, 300, weights)]
    assert losses == pytest.approx(run.hidden_test_loss)
    assert {len(series) for series in baseline_series(run).values()} == {3}
    assert quality(run).train_accuracy == run.train_accuracy[-1]
    assert run.name in table([run])


def test_a_run_that_is_trained_again_gives_the_same_numbers(whole, tmp_path):
    work([(TINY, 300)], tmp_path, tmp_path, None)
    (again,) = tmp_path.iterdir()
    first, second = load(whole[0]), load(again)
    for name in ARRAYS:
        assert name == "seconds" or np.array_equal(getattr(first, name), getattr(second, name)), name
    before = again.stat().st_mtime_ns
    work([(TINY, 300)], tmp_path, tmp_path, None)
    assert again.stat().st_mtime_ns == before, "a finished run is left alone"


@pytest.mark.parametrize("name", ["waves-conv1d-600-noise30", "markov-tokens-600"])
def test_measuring_changes_nothing_of_the_training(name, tmp_path):
    states = []
    for is_measured in (True, False):
        run = Run(replace(TASKS[name], dropout=0.2, images=100), 300, tmp_path, tmp_path)
        for _ in range(2):
            run.train_epoch()
            if is_measured:
                run.measure()
        states.append(flat(run.model))
    assert torch.equal(*states)


def test_averaged_weights_are_the_means_that_they_are_called():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    averages = Averages(model, steps_per_epoch=1)
    expected = flat(model)
    states = []
    for epoch in range(5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0 + epoch)
        model(torch.randn(4, 2))
        averages.after_step()
        expected = expected.lerp(flat(model), 0.2)
        found = averages.after_epoch(model)
        states.append(flat(model))
    assert torch.allclose(flat(found["ema"]), expected)
    assert torch.allclose(flat(found["swa"]), torch.stack(states[2:]).mean(0))


def test_perturbations_of_images_are_the_lens_shift_and_pixels_return():
    images = torch.randn(4, 1, 16, 16)
    probes = perturbed_probes(images)
    lens = alternating_shift(images, 1)
    assert torch.equal(probes[0].inputs[0::2], lens[0::2]) and torch.equal(probes[1].inputs[1::2], lens[1::2])
    assert [probe.name for probe in probes] == ["shift+p+p", "shift-p-p", "shift+p-p", "shift-p+p"]
    assert all(torch.equal(probe.aligned(probe.inputs), images) for probe in probes)
    assert [len(perturbed_probes(x)) for x in (torch.randn(4, 2, 32), torch.randn(4, 6), torch.ones(4, 6).long())] == [
        4
    ] * 3
