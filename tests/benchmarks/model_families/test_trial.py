"""Trials of a few families, and what a trial says of a model that needs an argument, fails, or cannot be trained."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.model_families.family import Family, make_task
from benchmarks.model_families.registry import FAMILIES
from benchmarks.model_families.training import MAX_ERROR
from benchmarks.model_families.trial import BARE, FAILED, ONE_ARGUMENT, SKIPPED, run_trial
from benchmarks.model_families.vision_data import LabelledImages
from benchmarks.model_families.vision_modules import Classifier

SHAPE = (3, 8, 8)


class TakesTwo(Classifier):
    """Its `forward` cannot be called on the images alone."""

    def forward(self, images, scale):
        return self.net(images * scale)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return nn.functional.cross_entropy(self(images, 1.0), labels)

    def validation_step(self, batch, batch_idx):
        self(batch[0], 1.0)


class DrawsItsOwnNumbers(Classifier):
    """Its training differs from run to run, because it draws from a generator that no seed reaches."""

    def training_step(self, batch, batch_idx):
        images, labels = batch
        generator = torch.Generator()
        generator.seed()
        noise = torch.randn(images.shape, generator=generator)
        return nn.functional.cross_entropy(self(images + noise), labels)


def family(module=Classifier, **options):
    def make():
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        return make_task(module(net), LabelledImages(16, SHAPE, seed=1), LabelledImages(32, SHAPE, seed=2))

    return Family("own.classification.small", "a small network", make, **options)


def test_a_family_that_needs_nothing_runs_bare_and_its_training_is_unchanged():
    trial = run_trial(family())
    assert (trial.result, trial.argument, trial.error) == (BARE, "", "")
    assert (trial.observations, trial.layers, trial.spectra) == (2, 1, 2)
    assert trial.signals == ("consistency",)
    assert trial.identical is True
    assert trial.seconds_with > 0
    assert trial.seconds_without > 0


def test_a_family_that_needs_an_argument_runs_with_it_and_the_first_error_is_kept():
    argument = "forward_fn=lambda model, batch: model(batch[0], 1.0)"
    trial = run_trial(family(TakesTwo, argument=argument))
    assert (trial.result, trial.argument, trial.error_with_argument) == (ONE_ARGUMENT, argument, "")
    assert "scale" in trial.error
    assert len(trial.error) <= MAX_ERROR
    assert trial.identical is True


@pytest.mark.parametrize("argument", ["", "forward_fn=lambda model, batch: model(batch[0])"])
def test_a_family_that_cannot_be_observed_fails_with_the_errors(argument):
    trial = run_trial(family(TakesTwo, argument=argument))
    assert (trial.result, trial.argument, trial.observations) == (FAILED, "", 0)
    assert "scale" in trial.error
    assert bool(trial.error_with_argument) == bool(argument)


def test_a_family_without_its_library_is_skipped_with_the_reason():
    trial = run_trial(family(packages=("torch", "no_such_package")))
    assert (trial.result, trial.error) == (SKIPPED, "not installed: no_such_package")


def test_a_training_that_fails_without_the_callback_is_not_blamed_on_it():
    def make():
        grey_images = DataLoader(LabelledImages(16, (1, 8, 8), seed=1), 8)
        return dataclasses.replace(family().make(), train_loader=grey_images)

    trial = run_trial(dataclasses.replace(family(), make=make))
    assert trial.result == FAILED
    assert trial.error.startswith("The training without the callback failed: RuntimeError")


def test_a_training_that_no_seed_repeats_is_not_compared():
    trial = run_trial(family(DrawsItsOwnNumbers))
    assert (trial.result, trial.identical) == (BARE, None)
    assert trial.differences == "two trainings without the callback differ too"


def test_a_network_of_torchvision_runs_bare():
    pytest.importorskip("torchvision")
    trial = run_trial(FAMILIES["torchvision.classification.squeezenet"])
    assert (trial.result, trial.identical, trial.signals) == (BARE, True, ("consistency",))
    assert trial.spectra == 26


@pytest.mark.parametrize("name", ["transformers.text.gpt2", "torch_geometric.graphs.sage", "timm.classification.vit"])
def test_a_model_of_another_library_is_observed_and_trains_bit_for_bit_as_without_the_callback(name):
    pytest.importorskip(FAMILIES[name].packages[0])
    trial = run_trial(FAMILIES[name])
    assert trial.result in (BARE, ONE_ARGUMENT), trial.error_with_argument or trial.error
    assert trial.identical is True
