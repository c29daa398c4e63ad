"""How many samples the passes of an observation have."""

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.capture import Probe
from lightning_factorlens.lens import pass_sizes
from lightning_factorlens.measurements import Consistency, WeightSpectra

OPTIONS = LensOptions(ranks=(1, 4))


def test_passes_on_a_cpu_are_small_where_samples_do_not_depend_on_each_other(monkeypatch):
    monkeypatch.setattr(pass_sizes, "MIN_THREAD_SAMPLES", 1)
    monkeypatch.setattr(pass_sizes, "MAX_OUTPUT_BYTES", 10 * 8 * 64 * 4)  # ten samples of the largest output
    images = torch.rand(40, 1, 8, 8)
    for norm, expected in {nn.BatchNorm2d(8): 10, nn.BatchNorm2d(8, track_running_stats=False): 128}.items():
        model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 3))
        lens = FactorLens(model, OPTIONS, [WeightSpectra(), Consistency()], outputs="classes")
        whole, limited = Probe.wrap(images), Probe.wrap(images)
        with monkeypatch.context() as context:
            context.setattr(pass_sizes, "MAX_OUTPUT_BYTES", 2**24)
            unlimited = lens.observe(whole)["consistency"]["consistency"]
        assert lens.observe(limited)["consistency"]["consistency"] == pytest.approx(unlimited, rel=1e-5)
        assert (whole.pass_size.current, limited.pass_size.current) == (128, expected)
