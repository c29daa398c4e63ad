"""The GPU benchmark runs where there is no GPU: its smoke size on the CPU, and one line otherwise."""

import subprocess
import sys

import pytest
import torch

from benchmarks.reporting import ROOT, subprocess_environment

MODULE = "benchmarks.solver.gpu"


def output(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=subprocess_environment(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_small_on_the_cpu():
    text = output("--device", "cpu", "--small", "--repeats", "1")
    assert "two sweeps, products alone" in text and "| warm |" in text
    assert text.splitlines()[-1].startswith("figure gpu_error_apart_from_cpu") and text.endswith(" ok\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_one_line():
    assert output() == "no CUDA device is available\n"
