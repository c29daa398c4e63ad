"""W1 against the convolutions, in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from lightning_factorlens.linalg.unfolding import channel_slices, unfold_weight


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_w1_times_patches_is_conv2d(stride, padding, dilation, groups):
    x = randn(2, 4, 9, 8)
    weight = randn(8, 4 // groups, 3, 2)
    expected = F.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    W = unfold_weight(weight, groups=groups)
    assert W.shape == (groups, 8 // groups, 4 // groups * 6)
    patches = [F.unfold(part, (3, 2), dilation, padding, stride) for part in x.chunk(groups, dim=1)]
    found = torch.cat([W_g @ X_g for W_g, X_g in zip(W, patches)], dim=1)
    torch.testing.assert_close(found.view_as(expected), expected)


def patches_nd(x, kernel):
    """(N, C, *space) → (N, C·∏k, positions), one slice per position, without unfold."""
    spaces = [range(n - k + 1) for n, k in zip(x.shape[2:], kernel)]
    columns = []
    for corner in itertools.product(*spaces):
        window = (slice(None), slice(None), *(slice(c, c + k) for c, k in zip(corner, kernel)))
        columns.append(x[window].flatten(1))
    return torch.stack(columns, dim=2)


@pytest.mark.parametrize(("conv", "space", "kernel"), [(F.conv1d, (7,), (3,)), (F.conv3d, (4, 5, 3), (2, 3, 2))])
@pytest.mark.parametrize("groups", [1, 2])
def test_w1_times_patches_is_conv1d_and_conv3d(conv, space, kernel, groups):
    x = randn(2, 4, *space)
    weight = randn(6, 4 // groups, *kernel)
    W = unfold_weight(weight, groups=groups)
    found = torch.cat([W_g @ patches_nd(part, kernel) for W_g, part in zip(W, x.chunk(groups, dim=1))], dim=1)
    expected = conv(x, weight, groups=groups)
    torch.testing.assert_close(found.view_as(expected), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
def test_w1_times_patches_is_a_transposed_convolution(stride, padding, groups):
    """y[o, p] = Σ_c Σ_k W[c, o, k] x[c, (p + padding − k) / stride] where that index is an integer in range."""
    c = 4
    d = 6
    k = 3
    n = 5
    x = randn(1, c, n, n)
    weight = randn(c, d // groups, k, k)
    expected = F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=groups)
    W = unfold_weight(weight, groups=groups, transposed=True)
    assert W.shape == (groups, d // groups, c // groups * k * k)
    out = expected.shape[-1]
    patches = torch.zeros(c, k, k, out, out, dtype=torch.float64)
    for a, b, p, q in itertools.product(range(k), range(k), range(out), range(out)):
        i, i_off = divmod(p + padding - a, stride)
        j, j_off = divmod(q + padding - b, stride)
        if i_off == j_off == 0 and 0 <= i < n and 0 <= j < n:
            patches[:, a, b, p, q] = x[0, :, i, j]
    columns = patches.reshape(groups, c // groups * k * k, out * out)
    torch.testing.assert_close((W @ columns).view_as(expected), expected)


def test_w1_of_linear_and_depthwise_layers():
    weight = randn(5, 3)
    assert torch.equal(unfold_weight(weight), weight[None])
    assert unfold_weight(randn(8, 1, 3, 3), groups=8).shape == (8, 1, 9)


def test_slices_are_kernel_taps():
    weight = randn(6, 3, 2, 4)
    slices = channel_slices(weight)
    assert slices.shape == (8, 6, 3)
    torch.testing.assert_close(slices[1 * 4 + 2], weight[:, :, 1, 2] * 0.5**0.5)
    assert torch.equal(channel_slices(weight, transposed=True), slices.mT)
    assert torch.equal(channel_slices(weight[:, :, 0, 0]), weight[None, :, :, 0, 0])
    assert channel_slices(weight.bfloat16()).dtype == torch.float64


@pytest.mark.parametrize("groups", [0, 4])
def test_groups_that_do_not_divide_are_rejected(groups):
    with pytest.raises(ValueError, match=rf"groups must divide .*groups={groups}.*\(6, 3, 1, 1\)"):
        unfold_weight(randn(6, 3, 1, 1), groups=groups)


@pytest.mark.parametrize("function", [unfold_weight, channel_slices])
def test_vectors_are_rejected(function):
    with pytest.raises(ValueError, match=r"weight must have at least 2 axes.*\(3,\)"):
        function(randn(3))
