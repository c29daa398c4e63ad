"""What all tests share: one thread, no pixels where none are looked at, and matrices built from a known answer."""

import numpy as np
import pytest
import torch
from observations import make_observation, power_law

from lightning_factorlens.results import Block


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


#: Folders whose tests train with the lens and look at no image.
WITHOUT_PIXELS = ("benchmarks", "callbacks", "measurements", "sampling")


@pytest.fixture(autouse=True)
def skip_rasterization(request, monkeypatch):
    """Figures are drawn, but not turned into pixels, which would take most of the time of these tests.

    Tests marked ``rasterized`` have the pixels.
    """
    folder = (
        request.path.relative_to(request.config.rootpath / "tests").parts[0] if "tests" in request.path.parts else ""
    )
    if folder in WITHOUT_PIXELS and request.node.get_closest_marker("rasterized") is None:
        from lightning_factorlens.plots import style

        monkeypatch.setattr(style, "to_array", lambda figure: np.full((8, 8, 4), 128, dtype=np.uint8))


@pytest.fixture
def worker():
    """A thread beside the test, which ends with it."""
    from lightning_factorlens.background import BackgroundWorker

    worker = BackgroundWorker()
    yield worker
    worker.close()


@pytest.fixture
def planted():
    """Blocks that share exactly rank-r non-negative factors: ``planted(r, sizes, N, dtype)``."""

    def make(r=4, sizes=(30, 200, 80), N=60, dtype=torch.float64, scales=None, seed=0, noise=0.0):
        g = torch.Generator().manual_seed(seed)
        F = torch.rand(r, N, generator=g, dtype=dtype) * (torch.rand(r, N, generator=g) < 0.5)
        blocks = []
        for i, (m, scale) in enumerate(zip(sizes, scales or [1.0] * len(sizes))):
            W = torch.rand(m, r, generator=g, dtype=dtype) * (torch.rand(m, r, generator=g) < 0.6)
            X = (W @ F + noise * torch.rand(m, N, generator=g, dtype=dtype)) * scale
            blocks.append(Block(f"block{i}", "input" if i == 0 else "activation", X.T.contiguous(), (m,)))
        return blocks

    return make


@pytest.fixture
def stacked():
    """The row-stacked matrix of the papers, weighted: (Σ features, N)."""

    def make(blocks, weights=None):
        weights = weights or [1.0] * len(blocks)
        return torch.cat([w * b.samples.T for w, b in zip(weights, blocks)]).double()

    return make


@pytest.fixture
def observe():
    """``observe(epoch, **changes)`` makes an observation of known numbers."""
    return make_observation


@pytest.fixture
def law():
    """``law(name, alpha)`` makes a spectrum with a known power law."""
    return power_law
