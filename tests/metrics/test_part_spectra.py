"""Eigenvalues and SVD errors with many samples: the same values as from all Gram matrices at once, in less memory."""

import math

import pytest
import torch
from worker_processes import run_in_processes

from lightning_factorlens.distributed import make_partition
from lightning_factorlens.factorization import CoupledProblem
from lightning_factorlens.metrics import part_spectra
from lightning_factorlens.metrics.rank_curve import BlockGroups
from lightning_factorlens.results import Block

N = 512
RANKS = (1, 4, 16)


def many_samples(dtype=torch.float32):
    """Layers at very different scales, one of a mean 1,000 times its variation, one of few features, one dead."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(N, 40, generator=g) * 0.9 ** torch.arange(40)
    x = (z @ torch.randn(40, 700, generator=g)).relu()
    samples = {
        "input/0": ("input", x[:, :600].sigmoid()),
        "relu": ("activation", x),
        "nearly constant": ("activation", 1e-20 * (1 + 1e-3 * x / x.max())),
        "exactly low rank": ("activation", 1e9 * torch.rand(N, 3, generator=g) @ torch.rand(3, 300, generator=g)),
        "few": ("activation", x[:, :60]),
        "dead": ("activation", torch.zeros(N, 12)),
    }
    return [Block(name, kind, values.to(dtype), values.shape[1:]) for name, (kind, values) in samples.items()]


@pytest.mark.parametrize("effective_ranks_first", [False, True])
@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_errors_and_effective_ranks_are_those_of_all_gram_matrices(weighting, effective_ranks_first, monkeypatch):
    problem = CoupledProblem(many_samples(), weighting)
    exact = BlockGroups(problem)
    expected = exact._spectra.squared_errors(RANKS)
    monkeypatch.setattr(part_spectra, "LARGE_N", N)
    decomposed = []
    eigvalsh = part_spectra.gram_eigvalsh

    def record_shape(grams):
        decomposed.append(grams.shape)
        return eigvalsh(grams)

    monkeypatch.setattr(part_spectra, "gram_eigvalsh", record_shape)
    lean = BlockGroups(problem)
    if effective_ranks_first:
        assert lean.effective_ranks() == pytest.approx(exact.effective_ranks(), rel=1e-9, nan_ok=True)
        assert max(shape[0] for shape in decomposed) == 1
    found = lean._spectra.squared_errors(RANKS)
    assert found.keys() == expected.keys()
    for part, errors in found.items():
        for error, of_svd in zip(errors, expected[part]):
            assert math.sqrt(error) == pytest.approx(math.sqrt(of_svd), abs=1e-7, nan_ok=True), part
    if weighting == "raw" and not effective_ranks_first:
        assert decomposed == [(1, 60, 60)]  # of the layer with few features


def shares(group):
    """The errors of a process that holds some of the features."""
    part_spectra.LARGE_N = N
    blocks = many_samples()
    captured = make_partition(group, [N // 2, N], 64)
    rows = captured.local_samples(torch.arange(N))
    partition = captured.split_features([block.samples.shape[1] for block in blocks])
    own = []
    for b, block in enumerate(blocks):
        own.append(Block(block.name, block.kind, partition.exchange(b, block.samples[rows]), block.shape))
    return BlockGroups(CoupledProblem(own, "unit", partition))._spectra.squared_errors(RANKS)


@pytest.mark.slow
def test_several_processes_find_the_same_errors(tmp_path):
    first, second = run_in_processes(shares, 2, tmp_path)
    assert str(first) == str(second)  # NaN included
    exact = BlockGroups(CoupledProblem(many_samples()))._spectra.squared_errors(RANKS)
    for part, errors in exact.items():
        found = [math.sqrt(error) for error in first[part]]
        assert found == pytest.approx([math.sqrt(error) for error in errors], abs=1e-7, nan_ok=True)
