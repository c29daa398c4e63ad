"""W2: values by Fourier transform against the dense circulant matrix, and that matrix against the convolution."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from lightning_factorlens.spectra.toeplitz import circular_singular_values, dense_operator


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def dense_values(weight, size, **options):
    values = torch.linalg.svdvals(dense_operator(weight, size, circular=True, **options))
    return values.sort().values


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(6, 6), (12, 6)])
def test_fourier_values_equal_those_of_the_dense_circulant(stride, dilation, groups, size):
    weight = randn(6, 4 // groups, 3, 2)
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    found = circular_singular_values(weight, size, **options)
    dense = dense_values(weight, size, **options)
    padding = len(dense) - len(found)  # zeros that the dense matrix has because of its shape
    assert padding >= 0
    torch.testing.assert_close(found, dense[padding:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("shape", "size"), [((5, 3, 3), (8,)), ((3, 2, 2, 3, 2), (4, 4, 2))])
@pytest.mark.parametrize("stride", [1, 2])
def test_fourier_values_in_one_and_three_dimensions(shape, size, stride):
    weight = randn(*shape)
    found = circular_singular_values(weight, size, stride=stride)
    dense = dense_values(weight, size, stride=stride)
    torch.testing.assert_close(found, dense[len(dense) - len(found) :], rtol=1e-10, atol=1e-12)


def test_a_kernel_larger_than_the_image_is_wrapped():
    weight = randn(3, 2, 5, 5)
    found = circular_singular_values(weight, (3, 3))
    dense = dense_values(weight, (3, 3))
    torch.testing.assert_close(found, dense[len(dense) - len(found) :])


def test_strides_may_differ_between_axes():
    weight = randn(3, 2, 3, 3)
    size = (6, 4)
    stride = (3, 1)
    found = circular_singular_values(weight, size, stride=stride)
    dense = dense_values(weight, size, stride=stride)
    torch.testing.assert_close(found, dense[len(dense) - len(found) :])


def test_a_one_by_one_kernel_has_the_values_of_w1_once_per_pixel():
    weight = randn(4, 6, 1, 1)
    expected = torch.linalg.svdvals(weight[:, :, 0, 0]).repeat(9).sort().values
    torch.testing.assert_close(circular_singular_values(weight, (3, 3)), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_dense_operator_computes_the_convolution(stride, padding, groups):
    x = randn(1, 4, 6, 5)
    weight = randn(6, 4 // groups, 3, 3)
    options = {"stride": stride, "padding": padding, "groups": groups}
    found = dense_operator(weight, (6, 5), **options) @ x.flatten()
    torch.testing.assert_close(found, F.conv2d(x, weight, **options).flatten())


def test_every_entry_of_the_dense_circulant():
    weight = randn(2, 3, 3, 3)
    m = 4
    W = dense_operator(weight, (m, m), circular=True).view(2, m, m, 3, m, m)
    expected = torch.zeros_like(W)
    for i, j, a, b in itertools.product(range(m), range(m), range(3), range(3)):
        expected[:, i, j, :, (i + a) % m, (j + b) % m] += weight[:, :, a, b]
    torch.testing.assert_close(W, expected)


def test_half_precision_is_read_exactly():
    weight = randn(4, 3, 3, 3).bfloat16()
    assert torch.equal(circular_singular_values(weight, (4, 4)), circular_singular_values(weight.double(), (4, 4)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (4,)}, "size must be 2 positive"),
        ({"size": (5, 4), "stride": 2}, r"stride must divide size, found stride \[2, 2\] and size \[5, 4\]"),
        ({"size": (4, 4), "stride": 0}, "stride must be 2 positive"),
        ({"size": (4, 4), "groups": 5}, "groups must divide"),
    ],
)
def test_arguments_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        circular_singular_values(randn(4, 3, 3, 3), **options)


def test_the_dense_operator_rejects_large_or_contradictory_arguments():
    with pytest.raises(ValueError, match="circular_singular_values or a smaller size"):
        dense_operator(torch.zeros(64, 64, 3, 3), (64, 64))
    with pytest.raises(ValueError, match="padding must be 0 with circular=True"):
        dense_operator(torch.zeros(2, 2, 3, 3), (4, 4), padding=1, circular=True)
    with pytest.raises(ValueError, match="1 to 3 kernel axes, found 0"):
        dense_operator(torch.zeros(2, 2), ())
