"""The hash of a tensor's bits: which changes it notices."""

import pytest
import torch

from lightning_factorlens.spectra.fingerprint import hash_bits


def doubled(weight, parity):
    weight[parity::2] *= 2


def signs_of_two(weight, parity):
    weight[parity : parity + 4 : 2] *= -1


def exchanged_rows(weight, parity):
    half = len(weight) // 2
    weight.copy_(torch.cat([weight[half:], weight[:half]]))


def last_bit(weight, parity):
    weight.view(torch.int32 if weight.dtype == torch.float32 else torch.int16)[parity - 2] ^= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [3, 16384, 40001])
@pytest.mark.parametrize("change", [doubled, signs_of_two, exchanged_rows, last_bit])
@pytest.mark.parametrize("parity", [0, 1])
def test_changes_of_half_of_the_bits_and_of_the_order_are_noticed(change, parity, n, dtype):
    weight = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(dtype)
    changed = weight.clone()
    assert hash_bits(weight) == hash_bits(changed)
    change(changed, parity)
    assert hash_bits(weight) != hash_bits(changed)


def test_random_states_strides_and_memory_do_not_matter():
    weight = torch.randn(300, 301, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    found = hash_bits(weight.T.contiguous().T)
    assert torch.equal(torch.get_rng_state(), state)
    offset = torch.cat([torch.zeros(1), weight.flatten()])[1:]
    assert found == hash_bits(weight) == hash_bits(offset.view(300, 301))
    assert hash_bits(torch.zeros(0, 4)) == hash_bits(torch.zeros(0, 9))
