"""The fit of the probability, its calibration error, and the model that the package comes with."""

import json

import numpy as np
import pytest

from benchmarks.stopping.campaign.calibration import stated_probabilities, summary
from benchmarks.stopping.campaign.calibration_error import calibration_curve, calibration_error, ranking
from benchmarks.stopping.campaign.observed_runs import campaign_runs, samples
from benchmarks.stopping.campaign.probability_fit import Sample, fit
from lightning_factorlens.stopping.probability_model import MODEL_FILE, PLANNED


def test_the_fit_finds_the_coefficients_and_leaves_out_a_wrong_sign():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        rise, share, fall = generator.normal(size=3)
        is_behind = generator.random() < 1 / (1 + np.exp(1 - 2 * rise + 0.5 * share))
        found.append(Sample({"rise": rise, "share": share, "fall": fall}, bool(is_behind), "task", "run", 1.0))
    model = fit(found, ("rise", "share", "fall"))
    assert model.coefficients["share"] == 0  # it speaks against here, which is not allowed
    assert model.coefficients["rise"] == pytest.approx(2, abs=0.2)
    assert -0.2 < model.coefficients["fall"] <= 0


def test_the_calibration_error_is_the_mean_distance_from_what_was_stated():
    stated = np.array([0.05, 0.05, 0.95, 0.95])
    is_true = np.array([0.0, 1.0, 1.0, 1.0])
    weights = np.array([1.0, 1.0, 1.0, 1.0])
    curve = calibration_curve(stated, is_true, weights)
    assert [(each.low, each.share, each.observed) for each in curve] == [(0.0, 0.5, 0.5), (0.9, 0.5, 1.0)]
    assert calibration_error(curve) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert ranking(stated, is_true, weights) == pytest.approx((0.5 + 1 + 1) / 3)  # a tie counts half


def test_the_packages_model_is_calibrated_on_development_runs_and_knows_no_other():
    content = json.loads(MODEL_FILE.read_text())
    runs = campaign_runs("development")
    assert {run.name for run in runs} <= set(content["run_names"])
    assert not any("-s300" in name or "-s301" in name for name in content["run_names"])
    for target in ("loss", "accuracy"):
        found = samples(runs, target)
        stated = stated_probabilities(found, target, PLANNED)
        assert summary(stated, found)["calibration_error"] < 0.06
