"""Figures in the tests of callbacks: they are drawn, but not turned into pixels, which would take most of the time."""

import numpy as np
import pytest

from lightning_factorlens.plots import style


@pytest.fixture(autouse=True)
def skip_rasterization(request, monkeypatch):
    """Replaces the pixels of every figure by a small grey image, except in tests marked ``rasterized``."""
    if request.node.get_closest_marker("rasterized") is None:
        monkeypatch.setattr(style, "to_array", lambda figure: np.full((8, 8, 4), 128, dtype=np.uint8))
