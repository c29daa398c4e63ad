"""Precision settings are restored."""

import subprocess
import sys

import pytest
import torch


@pytest.mark.parametrize(
    "setting", ["torch.set_float32_matmul_precision('medium')", "torch.backends.cuda.matmul.fp32_precision = 'tf32'"]
)
def test_settings_of_reduced_precision_are_restored(setting):
    """In a process of its own: the two interfaces to the setting do not mix."""
    if "fp32" in setting and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has the older interface alone")
    read = "getattr(torch.backends.cuda.matmul, 'fp32_precision', 0) or torch.get_float32_matmul_precision()"
    code = f"""
import torch
from lightning_factorlens.factorization import factorize
from lightning_factorlens.results import Block
{setting}
before = {read}
factorize([Block("a", "input", torch.rand(9, 20), (20,))], [2])
assert {read} == before, ({read}, before)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
