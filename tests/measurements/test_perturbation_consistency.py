"""PerturbationConsistency for every kind of input and output, against a second version in float64."""

import numpy as np
import pytest
import torch
from outputs import softmax
from torch import nn
from worker_processes import run_in_processes

from lightning_factorlens import FactorLens, LensOptions, Outputs
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.measurements import PerturbationConsistency
from lightning_factorlens.measurements.perturbation_consistency import choose_agreement, choose_perturbation
from lightning_factorlens.metrics.agreement import ClassAgreement, CosineDistance, LabelAgreement, RelativeChange
from lightning_factorlens.metrics.consistency import alternating_shift
from lightning_factorlens.metrics.perturbation import FeatureDropout, InputNoise, TokenMask
from lightning_factorlens.metrics.shifts import ImageShift, TimeShift


class TokenClasses(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.act, self.head = nn.Embedding(50, 8), nn.ReLU(), nn.Linear(8, 5)

    def forward(self, ids):
        return self.head(self.act(self.embedding(ids)))


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


CASES = {
    "images, classes": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)),
        rand(20, 1, 8, 8),
        "classes",
    ),
    "images, pixels": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)),
        rand(20, 1, 16, 16),
        "pixel_classes",
    ),
    "images, labels": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)),
        rand(20, 1, 8, 8),
        "multilabel",
    ),
    "tokens, classes of tokens": (TokenClasses, (50 * rand(20, 12)).long(), "token_classes"),
    "series, embedding": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30, 6)),
        rand(20, 2, 32),
        "embedding",
    ),
    "table, regression": (
        lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 1)),
        rand(20, 9),
        "regression",
    ),
}


def lens_of(case, measurement=None, **options):
    make, _, outputs = CASES[case]
    torch.manual_seed(0)
    return FactorLens(
        make(), LensOptions(ranks=(1, 2)), [measurement or PerturbationConsistency()], outputs=outputs, **options
    )


@pytest.mark.parametrize("case", CASES)
def test_every_kind_has_a_value_that_is_the_same_again(case):
    inputs = CASES[case][1]
    value = lens_of(case).observe(inputs).value("perturbation_consistency")
    assert value > 0
    assert np.isfinite(value)
    assert lens_of(case).observe(inputs).value("perturbation_consistency") == value


def test_classes_of_pixels_are_compared_at_the_same_place():
    lens, images = lens_of("images, pixels"), CASES["images, pixels"][1]
    value = lens.observe(images).value("perturbation_consistency")
    with torch.no_grad():
        plain, shifted = lens.model(images), lens.model(alternating_shift(images, 1))
    losses = []
    for k in range(len(images)):
        step = -1 if k % 2 else 1
        p = softmax(shifted[k].flatten(1).T).reshape(16, 16, 3)
        for row in range(1, 15):
            for column in range(1, 15):
                label = int(plain[k, :, row, column].argmax())
                losses.append(-np.log(p[row + step, column + step, label]))
    assert value == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_batches_of_a_large_probe_are_averaged_by_their_samples():
    lens = lens_of("images, labels", PerturbationConsistency(ImageShift(2)))
    images = rand(300, 1, 8, 8)
    value = lens.observe(images).value("perturbation_consistency")
    with torch.no_grad():
        plain, shifted = lens.model(images).numpy(), lens.model(alternating_shift(images, 2)).double().numpy()
    p = 1 / (1 + np.exp(-shifted))
    assert value == pytest.approx(-np.log(np.where(plain > 0, p, 1 - p)).mean(), rel=1e-5)


def in_processes(group):
    lens = lens_of("images, labels", process_group=group)
    with group.synchronized_errors():
        return lens.observe(rand(300, 1, 8, 8)).value("perturbation_consistency")


@pytest.mark.slow
def test_several_processes_give_the_value_of_one(tmp_path):
    expected = lens_of("images, labels").observe(rand(300, 1, 8, 8)).value("perturbation_consistency")
    for value in run_in_processes(in_processes, 2, tmp_path):
        assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("inputs", "kind", "model", "expected"),
    [
        (torch.zeros(2, 3, 8, 8), "classes", nn.Identity(), ImageShift()),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "classes", nn.Identity(), ImageShift()),
        (torch.zeros(2, 3, 4, 8, 8), "classes", nn.Identity(), ImageShift()),
        (torch.zeros(2, 7).long(), "classes", nn.Identity(), TokenMask()),
        (torch.zeros(2, 7, 5), "token_classes", nn.Identity(), InputNoise()),
        (torch.zeros(2, 1, 500), "classes", nn.Identity(), TimeShift()),
        (torch.zeros(2, 500), "classes", nn.Sequential(nn.Conv1d(1, 2, 3)), TimeShift()),
        (torch.zeros(2, 500), "classes", nn.Identity(), FeatureDropout()),
        (torch.zeros(2, 500, dtype=torch.bool), "classes", nn.Identity(), None),
        (torch.zeros(2), "classes", nn.Identity(), None),
    ],
)
def test_the_perturbation_is_chosen_by_the_input(inputs, kind, model, expected):
    assert choose_perturbation(inputs, OutputDecision(kind, "", (3,)), model) == expected


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (OutputDecision("classes", "", (3,)), ClassAgreement()),
        (OutputDecision("classes", "", (3,), is_probability=True), ClassAgreement(is_probability=True)),
        (OutputDecision("pixel_classes", "", (3, 8, 8)), ClassAgreement()),
        (OutputDecision("token_classes", "", (7, 3)), ClassAgreement(2)),
        (OutputDecision("multilabel", "", (3,)), LabelAgreement()),
        (OutputDecision("regression", "", (3,)), CosineDistance()),
        (OutputDecision("regression", "", (1,)), RelativeChange()),
        (OutputDecision("unknown", "", (3,)), CosineDistance()),
    ],
)
def test_the_agreement_is_chosen_by_the_output(decision, expected):
    assert choose_agreement(decision) == expected


def test_what_cannot_be_compared_is_noted():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())  # 6 × 6 positions of 8 × 8
    lens = FactorLens(net, LensOptions(ranks=(1,)), [PerturbationConsistency()], outputs="pixel_classes")
    assert "no whole multiple of the output's size" in lens.observe(rand(20, 1, 8, 8)).notes[0]
    lens = lens_of("images, labels")
    lens.output_word = Outputs("none")
    assert lens.observe(rand(20, 1, 8, 8)).notes[0].startswith("no perturbation consistency: outputs='none'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"perturbation": ImageShift}, "perturbation: found"),
        ({"perturbation": "shift"}, "perturbation: found 'shift'"),
        ({"agreement": CosineDistance}, "agreement: found"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        PerturbationConsistency(**options)


def test_it_says_that_it_is_untested():
    (scalar,) = PerturbationConsistency.scalars
    assert "Untested as a stop signal" in scalar.help
