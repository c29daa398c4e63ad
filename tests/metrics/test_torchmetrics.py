"""The torchmetrics classes: batches and processes add up to the function of all images."""

import subprocess
import sys

import pytest
import torch
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


ALL = {
    modules.Consistency: 2,
    modules.PredictionChanges: 2,
    modules.MeanTotalVariation: 2,
    modules.Confidence: 1,
    modules.PredictionEntropy: 1,
    modules.KLToUniform: 1,
    modules.MutualInformation: 1,
    modules.NuclearNorm: 1,
    modules.RankMe: 1,
}


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize(("metric", "n"), ALL.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_without_images_the_value_is_nan_and_an_empty_batch_adds_nothing(metric, n):
    one, two = metric(), metric()
    assert torch.isnan(one.compute())
    one.update(*(A, B)[:n])
    one.update(*(A[:0], B[:0])[:n])
    two.update(*(A, B)[:n])
    assert one.compute() == two.compute()
    empty = metric()
    empty.update(*(A[:0], B[:0])[:n])
    assert torch.isnan(empty.compute())
    one.update(*(A * float("nan"), B)[:n])
    assert torch.isnan(one.compute())


@pytest.mark.parametrize(("metric", "n"), ALL.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_states_keep_no_graph_and_stay_double_in_a_module_of_any_dtype(metric, n):
    one, expected = metric(), metric()
    one.update(*(A.clone().requires_grad_() * 1.0, B.clone().requires_grad_() * 1.0)[:n])
    expected.update(*(A, B)[:n])
    holder = torch.nn.ModuleList([one]).half()
    one.set_dtype(torch.float16)
    one.to(torch.float16)
    holder.double()
    for name in one._defaults:
        state = getattr(one, name)
        for tensor in state if isinstance(state, list) else [state]:
            assert not tensor.requires_grad
            assert tensor.dtype == (torch.float32 if isinstance(state, list) else torch.float64)
    assert one.compute() == expected.compute()
    one.reset()
    one.update(*(A, B)[:n])
    assert one.compute() == expected.compute()


def test_sums_do_not_overflow_in_half_precision():
    metric = modules.Confidence().half().set_dtype(torch.float16)
    z = logits(1000, 4)
    for _ in range(100):
        metric.update(z.half())
    assert metric.n_images == 100_000
    assert float(metric.compute()) == pytest.approx(confidence.confidence(z.half()), rel=1e-9)


@pytest.mark.parametrize("metric", [m for m, n in ALL.items() if n == 1 and m is not modules.RankMe])
def test_the_kind_of_the_outputs_is_decided_once_for_all_batches(metric):
    p = (4 * logits(256, 10)).bfloat16().softmax(1)
    exact = p.double() / p.double().sum(1, keepdim=True)
    one, many = metric(), metric()
    one.update(exact)
    for k in range(0, 256, 8):
        many.update(p[k : k + 8])
    assert float(many.compute()) == pytest.approx(float(one.compute()), rel=1e-5)
    said = metric(is_probability=False)
    said.update(p.float())
    as_logits = metric()
    as_logits.update(p.float() + 5.0)
    assert float(said.compute()) == pytest.approx(float(as_logits.compute()), rel=1e-4)


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
