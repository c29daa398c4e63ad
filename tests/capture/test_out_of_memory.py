"""Passes for which memory does not suffice are halved, and later ones stay small."""

import pytest
import torch
from kinds_of_data import FullyConvolutional, GraphNet, graph_batches

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.capture import Probe, capture_activations, capture_batches, isolate_model, select_layers
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.out_of_memory import is_out_of_memory
from lightning_factorlens.measurements import default_measurements

OPTIONS = LensOptions(ranks=(1, 2))


class Limited(FullyConvolutional):
    """Raises for batches above a size, after its first layer has run."""

    def __init__(self, limit, error=RuntimeError):
        super().__init__()
        self.limit, self.error, self.sizes = limit, error, []

    def forward(self, x):
        self.sizes.append(len(x))
        activations = self.act(self.conv(x))
        if len(x) > self.limit:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.head(activations.mean((2, 3)))


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (50, RuntimeError),
        (50, torch.OutOfMemoryError),
        (50, MemoryError),
        pytest.param(3, torch.OutOfMemoryError, marks=pytest.mark.slow),
        pytest.param(3, RuntimeError, marks=pytest.mark.slow),
        pytest.param(3, MemoryError, marks=pytest.mark.slow),
        pytest.param(1, RuntimeError, marks=pytest.mark.slow),
        pytest.param(1, torch.OutOfMemoryError, marks=pytest.mark.slow),
        pytest.param(1, MemoryError, marks=pytest.mark.slow),
    ],
)
def test_passes_are_halved_from_the_failed_one_on_and_the_numbers_stay(limit, error):
    torch.manual_seed(0)
    if error is MemoryError:
        error = lambda _: MemoryError("out of memory")  # noqa: E731
    model, images = Limited(1000), torch.rand(150, 3, 8, 8)
    table = select_layers(trace_layers(model, model, images[:1]))
    with isolate_model(model):
        expected = capture_activations(model, model, images, table)
        model.limit, model.error, model.sizes = limit, error, []
        probe = Probe.wrap(images)
        found = capture_activations(model, model, probe, table)
        n_failed = sum(size > limit for size in model.sizes)
        model.sizes.clear()
        capture_activations(model, model, probe, table)
    assert torch.allclose(found.outputs, expected.outputs, atol=1e-6)
    assert torch.allclose(found.layers[0].samples, expected.layers[0].samples, atol=1e-6)
    assert n_failed == {1: 7, 3: 6, 50: 2}[limit]
    assert max(model.sizes) <= limit


def test_a_whole_observation_goes_on_with_smaller_passes():
    torch.manual_seed(0)
    model = Limited(1)
    lens = FactorLens(model, OPTIONS, default_measurements(), outputs="classes")
    observation = lens.observe(torch.rand(20, 3, 8, 8))
    assert "consistency" in observation and observation["reconstruction_error"]["total"].ranks == (1, 2)


@pytest.mark.slow
def test_captures_with_gradients_are_halved_too():
    model, images = Limited(4), torch.rand(10, 3, 8, 8)
    with isolate_model(model, gradients=True):
        sizes = [len(capture.outputs) for capture in capture_batches(model, model, images, ())]
    assert sizes == [2] * 5


def test_one_sample_and_batches_that_cannot_be_cut_raise_the_error():
    model = Limited(0)
    with pytest.raises(RuntimeError, match="out of memory"):
        capture_activations(model, model, torch.rand(3, 3, 8, 8), ())
    graphs = Probe.from_batches(graph_batches(), 256)
    net = GraphNet()

    def fail(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        capture_activations(net, fail, graphs, ())


def test_another_error_is_raised_at_once():
    model = Limited(2, error=lambda message: RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        capture_activations(model, model, torch.rand(3, 3, 8, 8), ())
    assert model.sizes == [3]


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes. Error code 12",
    ],
)
def test_errors_of_libraries_that_report_exhausted_memory_are_recognised(message):
    assert is_out_of_memory(RuntimeError(message))


def test_an_error_raised_from_an_out_of_memory_error_is_one():
    error = ValueError("the model failed")
    error.__cause__ = torch.OutOfMemoryError("CUDA out of memory")
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("the model failed"))
