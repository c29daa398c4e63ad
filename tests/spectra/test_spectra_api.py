"""The package's public names, and what its import loads."""

import subprocess
import sys

from lightning_factorlens import spectra


def test_all_public_names_exist():
    assert spectra.__all__ == sorted(spectra.__all__)
    assert all(hasattr(spectra, name) for name in spectra.__all__)


def test_the_import_loads_no_optional_package():
    heavy = ("lightning", "matplotlib", "pandas", "scipy", "weightwatcher")
    code = f"import sys, lightning_factorlens.spectra; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
