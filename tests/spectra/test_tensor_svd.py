"""The chain of three convolutions equals the layer."""

import pytest
import torch
import torch.nn.functional as F

from lightning_factorlens.linalg.unfolding import unfold_weight
from lightning_factorlens.spectra.tensor_svd import tensor_svd


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def chain(svd, x, groups, **options):
    features = F.conv2d(x, svd.Vt, groups=groups, **options)
    return F.conv2d(F.conv2d(features, svd.S, groups=groups), svd.U, groups=groups)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_the_chain_equals_the_layer(stride, padding, dilation, groups):
    x = randn(2, 8, 9, 10)
    weight = randn(16, 8 // groups, 3, 3)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    expected = F.conv2d(x, weight, groups=groups, **options)
    found = chain(tensor_svd(weight, groups=groups), x, groups, **options)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("conv", "shape", "space"), [(F.conv1d, (6, 4, 3), (9,)), (F.conv3d, (5, 3, 2, 3, 2), (4, 5, 4))]
)
def test_the_chain_equals_convolutions_of_one_and_three_dimensions(conv, shape, space):
    x = randn(2, shape[1], *space)
    weight = randn(*shape)
    svd = tensor_svd(weight)
    torch.testing.assert_close(conv(conv(conv(x, svd.Vt), svd.S), svd.U), conv(x, weight), rtol=1e-5, atol=1e-5)


def test_factors_are_orthonormal_and_ordered():
    weight = randn(6, 3, 3, 3).double()
    svd = tensor_svd(weight)
    torch.testing.assert_close(svd.U[:, :, 0, 0].T @ svd.U[:, :, 0, 0], torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(svd.Vt.flatten(1) @ svd.Vt.flatten(1).T, torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(svd.singular_values, torch.linalg.svdvals(unfold_weight(weight)))
    torch.testing.assert_close(svd.S[:, :, 0, 0].diagonal(), svd.singular_values[0])


def test_a_lower_rank_gives_the_best_approximation():
    weight = randn(8, 4, 3, 3).double()
    svd = tensor_svd(weight, rank=3)
    assert (svd.Vt.shape, svd.S.shape, svd.U.shape) == ((3, 4, 3, 3), (3, 3, 1, 1), (8, 3, 1, 1))
    W = svd.U[:, :, 0, 0] @ svd.S[:, :, 0, 0] @ svd.Vt.flatten(1)
    rest = torch.linalg.svdvals(weight.flatten(1))[3:].square().sum()
    torch.testing.assert_close((W - weight.flatten(1)).square().sum(), rest)


def test_the_kernels_have_the_dtype_of_the_weight():
    svd = tensor_svd(randn(4, 3, 3, 3).bfloat16())
    assert svd.Vt.dtype == svd.S.dtype == svd.U.dtype == torch.bfloat16


@pytest.mark.parametrize("rank", [0, 5])
def test_ranks_out_of_range_are_rejected(rank):
    with pytest.raises(ValueError, match=f"rank must be from 1 to 4 .*found {rank}"):
        tensor_svd(randn(4, 3, 3, 3), rank=rank)
