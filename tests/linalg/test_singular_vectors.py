import pytest
import torch

from lightning_factorlens.linalg.singular_vectors import singular_vectors


@pytest.mark.parametrize("shape", [(1, 12, 40), (3, 20, 9), (2, 1, 6), (1, 7, 1), (2, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_product_of_the_factors_is_the_matrix(shape, dtype):
    W = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    found = singular_vectors(W)
    r = min(shape[1:])
    assert torch.allclose(found.U @ found.s.diag_embed() @ found.Vt, W.double(), atol=1e-9)
    assert torch.allclose(found.s, torch.linalg.svdvals(W.double()), rtol=1e-9)
    for vectors in (found.U.mT, found.Vt):
        assert torch.allclose(vectors @ vectors.mT, torch.eye(r, dtype=torch.float64), atol=1e-8)
    assert found.rank.tolist() == [r] * shape[0]
    first = found.Vt.abs().argmax(2, keepdim=True)
    assert (found.Vt.gather(2, first) > 0).all()


def test_signs_do_not_depend_on_rounding_where_two_entries_are_equally_large():
    edge = torch.tensor([[[1.0, 0.0, -1.0], [0.0, 0.3, 0.0]]])
    for noise in (0.0, 1e-8, -1e-8):
        moved = edge.double() + noise * torch.tensor([0.0, 0.0, 1.0])
        assert singular_vectors(moved).Vt[0, 0, 0] > 0


def test_zero_equal_and_infinite_values_are_told_apart():
    matrices = torch.stack([torch.zeros(3, 5), torch.eye(3, 5), torch.full((3, 5), torch.nan), torch.eye(3, 5)])
    matrices[3] *= torch.tensor([[3.0], [2.0], [1.0]])
    found = singular_vectors(matrices)
    assert found.rank.tolist() == [0, 3, 0, 3]
    assert found.subspace[1].tolist() == [0, 0, 0]
    assert found.subspace[3].tolist() == [0, 1, 2]
    assert found.s[2].isnan().all() and found.U[2].isnan().all()


def test_the_vectors_stay_as_they_are_while_the_weight_is_trained():
    weight = torch.randn(1, 4, 9)
    found = singular_vectors(weight)
    before = found.Vt
    weight.mul_(0)
    assert torch.equal(found.Vt, before)


def test_a_matrix_without_groups_is_refused():
    with pytest.raises(ValueError, match=r"shape \(groups, d, n\)"):
        singular_vectors(torch.rand(3, 4))


def test_close_singular_values_of_a_wide_matrix_are_not_taken_for_equal_ones():
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(1, 64, 8192, generator=generator)
    assert singular_vectors(wide).subspace[0].tolist() == list(range(64))
    orthogonal = torch.linalg.qr(torch.randn(64, 48, generator=generator))[0]
    assert singular_vectors(orthogonal[None]).subspace[0].tolist() == [0] * 48
