"""PARAFAC2 against planted factors, the SVD, tensorly, and what a fit of extreme inputs must give."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import normalize
from worker_processes import run_in_processes

from lightning_factorlens.distributed import make_partition
from lightning_factorlens.factorization import parafac2, parafac2_iterate
from lightning_factorlens.results import Block

WIDTHS = (40, 200, 80, 500, 30)


def matching_congruence(F, expected):
    """The cosine of each expected row with the row of F that is matched to it; every row is used once."""
    cosines = (normalize(F, dim=1) @ normalize(expected, dim=1).T).abs()
    rows, columns = linear_sum_assignment(-cosines.numpy())
    return cosines[rows, columns]


def planted_slices(widths=WIDTHS, N=80, rank=4, noise=0.0, seed=0, nonnegative=False, collinear=0.0):
    """Slices Q_j H diag(s_j) F with noise of that fraction of their norm, and F."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    F = normal(rank, N)
    if nonnegative:
        F = F.abs() * (torch.rand(rank, N, generator=generator) < 0.5)
    F = normalize(F + collinear * normal(1, N), dim=1)
    H = torch.eye(rank, dtype=torch.float64) + 0.5 * normal(rank, rank) / rank**0.5
    blocks = []
    for j, width in enumerate(widths):
        Q = torch.linalg.qr(normal(width, rank))[0]
        s = 0.5 + 1.5 * torch.rand(rank, generator=generator, dtype=torch.float64)
        slice_ = Q @ (H * s) @ F
        errors = normal(width, N)
        slice_ += noise * slice_.norm() / errors.norm() * errors
        blocks.append(Block(f"layer{j}", "activation", slice_.T.contiguous(), (width,), signed=True))
    return blocks, F


def scaled(blocks, *factors):
    """The blocks, each multiplied by its factor."""
    return [Block(b.name, b.kind, b.samples * factor, b.shape, True) for b, factor in zip(blocks, factors)]


def residual_sse(result, blocks):
    """The squared errors from the products of all factors."""
    errors = []
    for Q, s, block in zip(result.Q, result.S, blocks):
        model = Q @ (result.H * s) @ result.F
        errors.append(float((block.samples.double().T - model).square().sum()))
    return torch.tensor(errors, dtype=torch.float64)


def orthogonality_error(result):
    identity = torch.eye(result.rank, dtype=torch.float64)
    return max(float((Q.T @ Q - identity).abs().max()) for Q in result.Q)


def never_rises(history):
    return all(after <= before for before, after in zip(history, history[1:]))


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_factors_are_found_at_ten_percent_noise(nonnegative, seed):
    blocks, F = planted_slices(noise=0.1, seed=seed, nonnegative=nonnegative)
    result = parafac2(blocks, 4, nonnegative=nonnegative)
    assert float(matching_congruence(result.F, F).min()) >= 0.99
    assert orthogonality_error(result) < 1e-8
    assert never_rises(result.history)
    assert result.status == "converged"
    assert not nonnegative or bool((result.F >= 0).all())


def test_a_truncated_svd_fits_the_same_data_but_does_not_find_the_factors():
    blocks, F = planted_slices(noise=0.1)
    stacked = torch.cat([block.samples.T for block in blocks])
    rows = torch.linalg.svd(stacked)[2][:4]
    assert float(matching_congruence(rows, F).min()) < 0.95


@pytest.mark.parametrize("seed", range(3))
def test_exact_factors_are_found_from_few_and_narrow_slices(seed):
    blocks, F = planted_slices(widths=(20,) * 4, N=60, rank=3, seed=seed)
    result = parafac2(blocks, 3)
    assert result.objective < 1e-9
    assert float(matching_congruence(result.F, F).min()) > 0.999


def test_collinear_factors_are_found():
    blocks, F = planted_slices(collinear=1.0, noise=0.01)
    assert float((F @ F.T).fill_diagonal_(0).abs().max()) > 0.3
    assert float(matching_congruence(parafac2(blocks, 4).F, F).min()) > 0.99


def test_one_slice_has_the_error_of_the_truncated_svd():
    samples = torch.randn(30, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = parafac2([Block("layer", "activation", samples, (50,))], 5)
    sigma = torch.linalg.svdvals(samples)
    assert float(result.sse[0]) == pytest.approx(float(sigma[5:].square().sum()), rel=1e-4)


def test_equal_slices_have_the_error_of_the_truncated_svd():
    samples = torch.randn(30, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blocks = [Block(f"layer{j}", "activation", samples, (50,)) for j in range(3)]
    sigma = torch.linalg.svdvals(samples)
    best = float(sigma[5:].square().sum())
    assert parafac2(blocks, 5).sse.tolist() == pytest.approx([best] * 3, rel=1e-3)


@pytest.mark.parametrize("weighting", ["unit", "raw"])
def test_errors_and_objective_are_those_of_the_factors(weighting):
    blocks, _ = planted_slices(noise=0.3)
    blocks = scaled(blocks, 1, 10, 1, 0.1, 1)
    result = parafac2(blocks, 3, weighting=weighting)
    expected = residual_sse(result, blocks)
    torch.testing.assert_close(result.sse, expected, rtol=1e-9, atol=0)
    weights = torch.tensor(result.weights, dtype=torch.float64).square()
    energy = torch.stack([block.samples.square().sum() for block in blocks])
    assert result.objective == pytest.approx(float((weights * expected).sum() / (weights * energy).sum()), rel=1e-9)


def test_tiny_errors_keep_their_digits():
    blocks, _ = planted_slices(noise=1e-6)
    result = parafac2(blocks, 4, tol=1e-9)
    torch.testing.assert_close(result.sse, residual_sse(result, blocks), rtol=1e-6, atol=0)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_fit_is_as_good_as_the_best_of_three_of_tensorly(nonnegative):
    decomposition = pytest.importorskip("tensorly.decomposition")
    blocks, _ = planted_slices(noise=0.3, nonnegative=nonnegative)
    slices = [(block.samples.T / block.samples.norm()).numpy() for block in blocks]
    options = {"nn_modes": [2]} if nonnegative else {}
    errors = []
    for seed in range(3):
        found = decomposition.parafac2(slices, 4, random_state=seed, n_iter_max=200, return_errors=True, **options)
        errors.append(float(found[1][-1]))
    assert parafac2(blocks, 4, nonnegative=nonnegative).objective ** 0.5 <= min(errors) * (1 + 1e-3)


def test_a_fit_in_a_subspace_ends_in_the_same_factors(monkeypatch):
    blocks, _ = planted_slices(N=150, noise=0.2)
    with_subspace = parafac2(blocks, 4)
    monkeypatch.setattr(parafac2_iterate, "MIN_COLUMNS", 150)
    without = parafac2(blocks, 4)
    assert with_subspace.objective == pytest.approx(without.objective, rel=1e-4)
    assert float(matching_congruence(with_subspace.F, without.F).min()) > 0.999


def test_a_warm_start_converges_at_once_and_keeps_the_order():
    blocks, _ = planted_slices(noise=0.1)
    blocks = scaled(blocks, 1, 1000, 1, 1, 1)
    first = parafac2(blocks, 4, tol=1e-8)
    changed = scaled(blocks, 1.01, 1, 0.99, 1, 1)
    again = parafac2(changed, 4, start=first)
    assert len(again.history) < 10
    assert float((again.F * first.F).sum(1).min()) > 0.999


def test_every_scale_gives_the_same_factors():
    blocks, _ = planted_slices(noise=0.1)
    expected = parafac2(blocks, 4)
    result = parafac2(scaled(blocks, 1e-15, 1e15, 1, 1e-15, 1e10), 4)
    torch.testing.assert_close(result.F, expected.F, rtol=0, atol=1e-4)
    torch.testing.assert_close(result.S[0], expected.S[0] * 1e-15, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_is_accepted(dtype):
    blocks, F = planted_slices()
    converted = [Block(b.name, b.kind, b.samples.to(dtype), b.shape, True) for b in blocks]
    result = parafac2(converted, 4)
    assert result.F.dtype == torch.float64
    assert orthogonality_error(result) < 1e-8
    assert float(matching_congruence(result.F, F).min()) > 0.99


def test_a_zero_slice_has_no_weight_and_no_error():
    blocks, F = planted_slices(noise=0.01)
    blocks.append(Block("dead", "activation", torch.zeros(80, 10, dtype=torch.float64), (10,)))
    result = parafac2(blocks, 4)
    assert float(result.sse[-1]) == 0
    assert result.S[-1].tolist() == [0, 0, 0, 0]
    assert orthogonality_error(result) < 1e-8
    assert float(matching_congruence(result.F, F).min()) > 0.99


def test_zero_slices_alone_give_a_finite_result():
    result = parafac2([Block("dead", "activation", torch.zeros(8, 10), (10,))], 2)
    assert result.objective == 0
    assert bool(result.F.isfinite().all())
    assert bool(result.S.isfinite().all())


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("N", [1, 2, 3])
def test_a_rank_above_the_number_of_samples_fits_exactly(N, nonnegative):
    samples = torch.rand(N, 12, generator=torch.Generator().manual_seed(0))
    blocks = [Block("a", "activation", samples, (12,)), Block("b", "activation", samples[:, :6] ** 2, (6,))]
    result = parafac2(blocks, 4, nonnegative=nonnegative)
    assert result.objective < 1e-3
    assert orthogonality_error(result) < 1e-8


def test_a_slice_narrower_than_the_rank_is_named():
    blocks, _ = planted_slices()
    blocks[1] = Block("layer1", "activation", blocks[1].samples[:, :3], (3,))
    with pytest.raises(ValueError, match="block 'layer1' has 3. Choose a rank of at most 3, or leave the block out"):
        parafac2(blocks, 4)


def test_a_slice_with_nan_is_named():
    blocks, _ = planted_slices()
    blocks[2].samples[3, 4] = torch.nan
    with pytest.raises(ValueError, match="block 'layer2' has 1 values that are NaN or infinite"):
        parafac2(blocks, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank: must be a whole number ≥ 1, found 0"),
        ({"n_init": 0}, "n_init: must be a whole number ≥ 1, found 0"),
        ({"max_iter": 0}, "max_iter: must be a whole number ≥ 1"),
        ({"tol": -1.0}, "tol: must be a number ≥ 0"),
        ({"nonnegative": "F"}, "nonnegative: must be True or False, found 'F'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    blocks, _ = planted_slices()
    with pytest.raises(ValueError, match=message):
        parafac2(blocks, **{"rank": 4, **options})


def test_no_blocks_are_refused():
    with pytest.raises(ValueError, match="blocks: found none"):
        parafac2([], 2)


def test_a_start_of_another_rank_is_refused():
    blocks, _ = planted_slices()
    with pytest.raises(ValueError, match=r"start: found F and S of the shapes \(\(3, 80\), \(5, 3\)\)"):
        parafac2(blocks, 4, start=parafac2(blocks, 3))


def test_a_fit_that_ends_early_says_which_option_to_raise():
    blocks, _ = planted_slices(noise=0.3)
    assert "raise `max_iter`" in parafac2(blocks, 4, max_iter=2).status


def test_blocks_on_another_device_are_streamed_to_that_of_the_computation():
    blocks, _ = planted_slices(noise=0.1)
    torch.testing.assert_close(parafac2(blocks, 4, device="cpu").F, parafac2(blocks, 4).F)


def test_the_global_generator_stays_as_it_is():
    blocks, _ = planted_slices()
    before = torch.random.get_rng_state()
    parafac2(blocks, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def fit_of_own_features(group):
    """Fits slices of which every process keeps its own features."""
    return fit_sharded(group, noise=0.1)


def fit_sharded(group, noise):
    blocks, _ = planted_slices(noise=noise)
    captured = make_partition(group, [40, 80], 16)
    rows = captured.local_samples(torch.arange(80))
    partition = captured.split_features([block.samples.shape[1] for block in blocks])
    own = []
    exchanged = partition.exchange([block.samples[rows] for block in blocks])
    for block, samples in zip(blocks, exchanged):
        own.append(Block(block.name, block.kind, samples, block.shape, True))
    return parafac2(own, 4, partition=partition)


@pytest.mark.slow
def test_processes_with_some_features_each_find_the_same_factors(tmp_path):
    blocks, _ = planted_slices(noise=0.1)
    expected = parafac2(blocks, 4)
    first, second = run_in_processes(fit_of_own_features, 2, tmp_path)
    assert torch.equal(first.F, second.F)
    torch.testing.assert_close(first.F, expected.F, rtol=0, atol=1e-6)
    torch.testing.assert_close(first.sse, expected.sse, rtol=1e-6, atol=0)
    for Q, Q_expected in zip(first.Q, expected.Q):
        torch.testing.assert_close(Q, Q_expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.slow
def test_the_residual_of_tiny_errors_is_summed_over_the_processes(tmp_path):
    first, second = run_in_processes(exact_fit_of_own_features, 2, tmp_path)
    assert torch.equal(first.sse, second.sse)
    assert float(first.sse.max()) < 1e-5


def exact_fit_of_own_features(group):
    """Fits slices without noise, whose error is computed from residuals."""
    return fit_sharded(group, noise=0.0)
