"""The script of the documentation's screenshots, which drives TensorBoard in a browser; skips where there is none."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The figures of the default measurements that a number keeps in order.
FIGURES = ("1_history", "2_rank_curve", "3_latent_images", "4_layer_factors", "5_similarity", "6_alpha", "7_spectra")


def load_screenshots():
    """The module ``docs/screenshots.py``."""
    pytest.importorskip("playwright", reason="playwright, which drives the browser, is not installed")
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs/screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium() is None:
        pytest.skip(f"no Chromium on the path (looked for {', '.join(module.CHROMIUM)})", allow_module_level=True)
    return module
