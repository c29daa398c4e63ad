"""The torchmetrics classes: batches and processes add up to the function of all images."""

import subprocess
import sys

import pytest
from outputs import logits

from lightning_factorlens.metrics import confidence, consistency, nuclear_norm, rankme
from lightning_factorlens.metrics import torchmetrics as modules
from lightning_factorlens.metrics.prediction_changes import mean_total_variation, prediction_changes

A, B, C = (logits(50, 4, seed, scale=2) for seed in range(3))
LABELS = C.argmax(1)
CUTS = [slice(0, 7), slice(7, 30), slice(30, 50)]


@pytest.mark.parametrize(
    ("metric", "arguments", "expected"),
    [
        (modules.Consistency, lambda s: (A[s], B[s]), consistency.consistency(A, B)),
        (modules.Consistency, lambda s: (A[s], B[s], LABELS[s]), consistency.consistency(A, B, LABELS)),
        (modules.PredictionChanges, lambda s: (A[s], B[s]), prediction_changes(A, B)),
        (modules.MeanTotalVariation, lambda s: (A[s], B[s]), mean_total_variation(A, B)),
        (modules.Confidence, lambda s: (A[s],), confidence.confidence(A)),
        (modules.PredictionEntropy, lambda s: (A[s],), confidence.entropy(A)),
        (modules.KLToUniform, lambda s: (A[s],), confidence.kl_to_uniform(A)),
        (modules.MutualInformation, lambda s: (A[s],), confidence.mutual_information(A)),
        (modules.NuclearNorm, lambda s: (A[s],), nuclear_norm.nuclear_norm(A)),
        (modules.RankMe, lambda s: (A[s],), rankme.rankme(A)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_batches_and_processes_add_up_to_the_function_of_all_images(metric, arguments, expected):
    one, first, second = metric(), metric(), metric()
    for cut in CUTS:
        one.update(*arguments(cut))
    assert float(one.compute()) == pytest.approx(expected, rel=1e-6)
    first.update(*arguments(CUTS[0]))
    for cut in CUTS[1:]:
        second.update(*arguments(cut))
    first.merge_state(second) if hasattr(first, "merge_state") else first.update(*arguments(slice(7, 50)))
    assert float(first.compute()) == pytest.approx(expected, rel=1e-6)
    one.reset()
    one.update(*arguments(slice(0, 50)))
    assert float(one.compute()) == pytest.approx(expected, rel=1e-6)


def test_a_wrong_number_of_arguments_is_an_error_that_names_them():
    with pytest.raises(TypeError, match=r"RankMe\.update takes \(features\), found 2"):
        modules.RankMe().update(A, B)


def test_the_functions_do_not_load_torchmetrics():
    names = ["confidence", "consistency", "nuclear_norm", "prediction_changes", "probabilities", "rank_curve"]
    names += ["rankme", "required_rank", "temporal_ensemble"]
    modules = ", ".join(f"lightning_factorlens.metrics.{n}" for n in names)
    code = f"import sys, {modules}; print([m for m in ('torchmetrics', 'lightning', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
