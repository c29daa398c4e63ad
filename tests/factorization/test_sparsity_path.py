"""Group sparsity that removes components: the path over λ, the number of components, and the fit of the survivors."""

import pytest
import torch
from torch.nn.functional import normalize
from worker_processes import run_in_processes

from lightning_factorlens.distributed import SingleProcess, make_partition
from lightning_factorlens.factorization import factorize, refit_components, sparsity_path
from lightning_factorlens.factorization.group_sparsity import GroupSparseProblem
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.results import Block

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.01)


def planted_groups(n_planted=6, N=120, noise=0.02, seed=0, features=(150, 300)):
    """Two blocks of ``n_planted`` components that are active on few samples each, with noise, and their F."""
    generator = torch.Generator().manual_seed(seed)
    F = torch.rand(n_planted, N, generator=generator, dtype=torch.float64)
    F *= torch.rand(n_planted, N, generator=generator) < 0.3
    blocks = []
    for i, m in enumerate(features):
        W = torch.rand(m, n_planted, generator=generator, dtype=torch.float64)
        W *= torch.rand(m, n_planted, generator=generator) < 0.3
        X = W @ F
        X = X + noise * X.norm() / X.numel() ** 0.5 * torch.randn(m, N, generator=generator, dtype=torch.float64).abs()
        blocks.append(Block(f"layer{i}", "activation", X.T.contiguous(), (m,)))
    return blocks, F


def stacked(blocks):
    """All features with unit energy of each block and of all together, shape (m, N)."""
    parts = [block.samples.double().T / block.samples.double().norm() for block in blocks]
    return torch.cat(parts) / len(blocks) ** 0.5


def never_rises(history):
    return all(after <= before for before, after in zip(history, history[1:]))


def test_the_path_loses_components_and_its_objective_never_rises():
    blocks, _ = planted_groups(n_planted=12, noise=0.3)
    path = sparsity_path(blocks, 20, lambdas=FRACTIONS)
    assert path.lambdas == FRACTIONS
    assert path.n_components[0] == 20
    assert path.n_components[FRACTIONS.index(0.5)] <= 10
    assert path.n_components[-1] == 0
    assert list(path.n_components) == sorted(path.n_components, reverse=True)
    assert all(map(never_rises, path.history))
    assert list(path.objective) == sorted(path.objective)
    for count, F in zip(path.n_components, path.F):
        assert int((F.norm(dim=1) > 0).sum()) == count
        assert bool((F >= 0).all())


def test_a_component_that_is_zero_stays_zero():
    blocks, _ = planted_groups(n_planted=12, noise=0.3)
    path = sparsity_path(blocks, 20, lambdas=FRACTIONS)
    for before, after in zip(path.F, path.F[1:]):
        assert not bool((after.norm(dim=1)[before.norm(dim=1) == 0] > 0).any())


@pytest.mark.parametrize("seed", range(4))
def test_the_planted_components_are_found_exactly(seed):
    blocks, F = planted_groups(seed=seed)
    path = sparsity_path(blocks, 20, lambdas=(0.02, 0.05, 0.1, 0.15))
    assert 6 in path.n_components
    result = refit_components(blocks, path, 6)
    cosines = normalize(result.F[0], dim=1) @ normalize(F, dim=1).T
    assert sorted(cosines.argmax(1).tolist()) == list(range(6))
    assert float(cosines.amax(1).min()) > 0.98


def test_the_largest_lambda_is_twice_the_largest_singular_value():
    blocks, _ = planted_groups()
    problem = CoupledProblem(blocks)
    leading = torch.linalg.eigh(problem.gram())[1][:, -1]
    largest = GroupSparseProblem(problem, leading, None).lambda_max
    assert largest == pytest.approx(2 * float(torch.linalg.svdvals(stacked(blocks))[0]), rel=1e-9)
    path = sparsity_path(blocks, 5, lambdas=(0.5,))
    assert path.lambda_max == pytest.approx(largest * problem.energy, rel=1e-5)


def test_just_below_the_largest_lambda_one_component_remains_and_above_none():
    blocks, _ = planted_groups()
    path = sparsity_path(blocks, 5, lambdas=(0.97, 1.0))
    assert path.n_components == (1, 0)
    assert path.objective[1] == 1
    assert path.objective[0] < 1


def test_one_component_has_the_singular_value_shrunk_by_half_of_lambda():
    blocks, _ = planted_groups()
    sigma = float(torch.linalg.svdvals(stacked(blocks))[0])
    path = sparsity_path(blocks, 1, lambdas=(0.25,), tol=1e-9, max_iter=500)
    expected = 0.75 * sigma
    assert float(path.F[0].norm()) == pytest.approx(expected, rel=1e-4)
    value = 1 - sigma**2 + (0.25 * sigma) ** 2 + 0.5 * sigma * expected
    assert path.objective[0] == pytest.approx(value, rel=1e-5)


def test_scaling_the_start_changes_nothing():
    blocks, _ = planted_groups(noise=0.3)
    start = factorize(blocks, [10]).F[0]
    expected = sparsity_path(blocks, 10, start=start)
    result = sparsity_path(blocks, 10, start=start * torch.logspace(-3, 3, 10, dtype=start.dtype)[:, None])
    assert result.n_components == expected.n_components
    torch.testing.assert_close(result.F[3], expected.F[3])


def test_scaling_a_block_changes_nothing():
    blocks, _ = planted_groups(noise=0.3)
    larger = [blocks[0], Block("layer1", "activation", blocks[1].samples * 1e12, blocks[1].shape)]
    expected = sparsity_path(blocks, 10)
    result = sparsity_path(larger, 10)
    assert result.n_components == expected.n_components
    assert result.objective == pytest.approx(expected.objective, rel=1e-6)


def test_a_number_of_components_is_searched_for():
    blocks, _ = planted_groups(n_planted=12, noise=0.3)
    coarse = sparsity_path(blocks, 20, lambdas=(0.01, 1.0))
    assert coarse.n_components == (20, 0)
    path = sparsity_path(blocks, 20, lambdas=(0.01, 1.0), n_components=5)
    assert path.n_components == (20, 5, 0)
    assert list(path.lambdas) == sorted(path.lambdas)
    assert refit_components(blocks, path, 5).ranks == (5,)


def test_the_survivors_fit_better_without_the_penalty():
    blocks, _ = planted_groups(n_planted=12, noise=0.3)
    path = sparsity_path(blocks, 20)
    position = path.lambdas.index(0.2)
    result = refit_components(blocks, path, path.n_components[position])
    assert result.objective[0] < path.objective[position]
    best = factorize(blocks, [path.n_components[position]])
    assert result.objective[0] < 1.1 * best.objective[0]


def test_fewer_survivors_than_any_lambda_has_are_the_strongest():
    blocks, _ = planted_groups()
    path = sparsity_path(blocks, 20, lambdas=(0.1,))
    assert refit_components(blocks, path, 2).ranks == (2,)


def test_groups_of_samples_become_zero_within_components():
    generator = torch.Generator().manual_seed(0)
    F = torch.zeros(4, 80, dtype=torch.float64)
    for k in range(4):
        F[k, 20 * k : 20 * k + 20] = 0.5 + torch.rand(20, generator=generator, dtype=torch.float64)
    X = torch.rand(100, 4, generator=generator, dtype=torch.float64) ** 4 @ F
    blocks = [Block("layer", "activation", X.T.contiguous(), (100,))]
    groups = torch.arange(4).repeat_interleave(20).tolist()
    path = sparsity_path(blocks, 4, lambdas=(0.05, 1.0), groups=groups)
    norms = path.F[0].view(4, 4, 20).norm(dim=2)
    assert ((norms > 0).sum(1) == 1).all()
    assert path.n_components[1] == 0


def test_a_path_on_sampled_features_finds_the_planted_components():
    blocks, F = planted_groups(N=200, features=(6000, 9000))
    path = sparsity_path(blocks, 20, lambdas=(0.02, 0.05, 0.1, 0.15))
    assert 6 in path.n_components
    result = refit_components(blocks, path, 6)
    assert result.W[0][1].shape == (9000, 6)
    assert float((normalize(result.F[0], dim=1) @ normalize(F, dim=1).T).amax(1).min()) > 0.98


def test_signed_blocks_have_a_path():
    blocks, F = planted_groups()
    signs = torch.ones(150, dtype=torch.float64)
    signs[::2] = -1
    blocks[0] = Block("signed", "activation", blocks[0].samples * signs, (150,), signed=True)
    path = sparsity_path(blocks, 12, lambdas=(0.1, 1.0))
    assert path.n_components == (6, 0)
    assert all(map(never_rises, path.history))
    result = refit_components(blocks, path, 6)
    assert float((normalize(result.F[0], dim=1) @ normalize(F, dim=1).T).amax(1).min()) > 0.98


@pytest.mark.parametrize("N", [1, 2, 3])
def test_a_rank_above_the_number_of_samples_has_a_path(N):
    samples = torch.rand(N, 12, generator=torch.Generator().manual_seed(0))
    path = sparsity_path([Block("layer", "activation", samples, (12,))], 5, lambdas=(0.1, 0.5, 1.0))
    assert path.n_components[-1] == 0
    assert path.n_components[0] <= 5
    assert all(map(never_rises, path.history))


def test_zero_blocks_have_no_components():
    path = sparsity_path([Block("dead", "activation", torch.zeros(5, 8), (8,))], 3, lambdas=(0.1, 1.0))
    assert path.n_components == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank: must be a whole number ≥ 1, found 0"),
        ({"lambdas": ()}, "lambdas: must be one or more numbers > 0"),
        ({"lambdas": (0.0, 0.5)}, "lambdas: must be one or more numbers > 0"),
        ({"n_components": 0}, "n_components: must be a whole number ≥ 1, or None for no search"),
        ({"start": torch.ones(3, 4)}, r"start: found a factor of shape \(3, 4\), this path needs \(5, 120\)"),
        ({"tol": -1.0}, "tol: must be a number ≥ 0"),
        ({"groups": [0, 1]}, "groups: found 2 numbers for 120 samples"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    blocks, _ = planted_groups()
    with pytest.raises(ValueError, match=message):
        sparsity_path(blocks, **{"rank": 5, **options})


def test_more_survivors_than_the_path_has_are_refused():
    blocks, _ = planted_groups()
    path = sparsity_path(blocks, 5, lambdas=(0.9,))
    with pytest.raises(ValueError, match="n_components: found 4, and this path has at most 1 components"):
        refit_components(blocks, path, 4)


def path_of_own_features(group):
    """The path of blocks of which every process holds some features, and of small ones, which are not sampled."""
    paths = []
    for features in ((150, 300), (1500, 9000)):
        blocks, _ = planted_groups(features=features)
        partition = make_partition(group, [60, 120], 16).split_features(features)
        own = []
        for b, block in enumerate(blocks):
            own.append(Block(block.name, block.kind, partition.local_features(b, block.samples), block.shape))
        paths.append(sparsity_path(own, 8, lambdas=(0.1, 0.5, 1.0), partition=partition))
    return paths


@pytest.mark.slow
def test_processes_with_some_features_each_follow_the_path_of_one_process(tmp_path):
    first, second = run_in_processes(path_of_own_features, 2, tmp_path)
    for expected, own, other in zip(path_of_own_features(SingleProcess()), first, second):
        assert expected.n_components == own.n_components == other.n_components
        for F, F_own, F_other in zip(expected.F, own.F, other.F):
            torch.testing.assert_close(F_own, F, rtol=0, atol=1e-4 * float(F.abs().max()))
            assert torch.equal(F_own, F_other)
