"""Observations by several processes: they equal those of a single one, and an error in one ends them in all."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.distributed as dist
from torch import nn
from worker_processes import error_of, run_in_processes

from lightning_factorlens import FactorLens
from lightning_factorlens.capture.layer_buffers import LayerBuffer
from lightning_factorlens.capture.sharding_problems import sharding_problem
from lightning_factorlens.capture.signs import Denormalize, SubtractMin
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import ProcessGroup, SingleProcess
from lightning_factorlens.factorization import HALS, L1, MultiplicativeUpdates

RANKS = (1, 2, 4)
QUICK = HALS(n_init=2, max_iter=20)
#: Chunks of features of the net below: two and one. More processes hold parts of them, see `feature_unit`.
N_CHUNKS = 3


# ---- what every process runs


def make_net(act=nn.ReLU):
    """Layers of 9408 and 1352 neurons: more than are sampled, and the first is divided between two processes."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 12, 3), act(), nn.MaxPool2d(2), nn.Conv2d(12, 8, 3, stride=1), act(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 12 * 12, 5)).eval()


@torch.no_grad()
def train_a_little(model, step):
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p += 0.05 * p.std() * torch.randn(p.shape, generator=generator)


@dataclass(frozen=True)
class ScaledByTheLargest:
    """A sign policy that needs all features of a layer."""

    def __call__(self, block):
        return [replace(block, samples=(block.samples - block.samples.min()) / block.samples.abs().max())]


CASES = {
    "large": (nn.ReLU, {"solver": QUICK}),
    "small": (nn.ReLU, {"solver": QUICK, "max_neurons_per_layer": 500}),
    "split": (nn.Tanh, {"solver": QUICK, "activation_sign_policy": "split"}),
    "semi": (
        nn.Tanh,
        {"solver": QUICK, "activation_sign_policy": "semi", "input_sign_policy": Denormalize([0.5], [0.5])},
    ),
    "shift": (nn.Tanh, {"solver": QUICK, "activation_sign_policy": SubtractMin(), "weighting": "raw"}),
    "a user's policy": (nn.Tanh, {"solver": QUICK, "activation_sign_policy": ScaledByTheLargest()}),
    "multiplicative": (nn.ReLU, {"solver": MultiplicativeUpdates(max_iter=4)}),
    "penalty": (nn.ReLU, {"solver": HALS(n_init=1, max_iter=4, penalty_W=L1(1e-3))}),
    "several iterations": (nn.ReLU, {"solver": replace(QUICK, n_final_iter=3)}),
}


def observe(group, case, count=2, samples=150):
    """The values of ``count`` observations, and the factors W of all of them."""
    act, options = CASES[case]
    images = torch.randn(samples, 1, 30, 30, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    options = LensOptions(**{"max_neurons_per_layer": None, "ranks": RANKS, **options})
    lens = FactorLens(make_net(act), options, process_group=group, outputs="classes")
    observations = []
    for step in range(count):
        train_a_little(lens.model, step)
        with group.synchronized_errors():
            observations.append(lens.observe(images))
    factors = [w for o in observations for factors_of_rank in o.factorization.W for w in factors_of_rank]
    return [values(o) for o in observations], factors


def values(o):
    """Every number of an observation except the seconds, by name."""
    return {(v.quantity, v.scope, v.rank): v.value for v in o.values() if v.quantity != "seconds"}


class BrokenSolver(HALS):
    def finish(self, *_):
        raise RuntimeError("broken solver")


def observe_with_a_failure(group, failing_rank, where):
    """Three observations; the second fails in one process, and the third must be what the second would have been."""

    def hook(module, args, output):
        if hook_is_broken:
            raise RuntimeError("broken hook")

    images = torch.rand(150, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    options = LensOptions(ranks=RANKS, max_neurons_per_layer=None, solver=QUICK)
    lens = FactorLens(make_net(), options, process_group=group, outputs="classes")
    errors = []
    lens.model[3].register_forward_hook(hook)

    def attempt():
        with group.synchronized_errors():
            observation, warm_start = lens.measure(images)
        lens.state.record(observation, warm_start)

    for k in range(3):
        is_failing = k == 1 and group.rank == failing_rank
        hook_is_broken = is_failing and where == "hook"
        if is_failing and where == "solver":
            lens.options = replace(options, solver=BrokenSolver())
        errors.append(error_of(attempt))
        lens.options = options
    n_recorded = (lens.state.n_measured, len(lens.state.history))
    return errors, [float(f.double().sum()) for f in lens.state.warm_start.F], lens.model.training, n_recorded


def refused(group, tensor_parallel):
    """The errors for a model that is sharded by FSDP and observed as if alone, or by tensor parallelism."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    model = make_net()
    mesh = init_device_mesh("cpu", (group.world_size,), mesh_dim_names=("split",))
    if tensor_parallel:
        parallelize_module(model, mesh, {"6": ColwiseParallel()})
        lens = FactorLens(model, LensOptions(ranks=RANKS), process_group=group)
    else:
        lens = FactorLens(fully_shard(model, mesh=mesh), LensOptions(ranks=RANKS))
    return error_of(lambda: lens.select_layers(torch.rand(8, 1, 30, 30)))


def refused_parts(group):
    """The errors for parameters that fully_shard ignores, for another group, and for concepts; and for a tied model."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (group.world_size,), mesh_dim_names=("expert",))
    ignoring = parallelize_module(make_net(), mesh, {"6": ColwiseParallel()})
    fully_shard(ignoring, mesh=mesh, ignored_params=set(ignoring[6].parameters()))
    single = [dist.new_group([rank]) for rank in range(group.world_size)][group.rank]
    alone = ProcessGroup(torch.device("cpu"), single)
    whole = fully_shard(make_net(), mesh=mesh)
    tied = nn.Sequential(nn.Flatten(), nn.Linear(900, 16), nn.Linear(16, 16), nn.Linear(16, 16))
    tied[3].weight = tied[2].weight
    tied = fully_shard(tied, mesh=mesh)
    return {
        "ignored": sharding_problem(ignoring, group, needs_gradients=False),
        "outside": sharding_problem(whole, replace_world(alone), needs_gradients=False),
        "tied": sharding_problem(tied, group, needs_gradients=False),
        "concepts": error_of(lambda: FactorLens(whole).concepts(torch.rand(8, 1, 30, 30))),
    }


def replace_world(group):
    """A group that says it has two processes, as one of several has that share a model in twos."""
    group.world_size = 2
    return group


def observe_dependent(group):
    """The values of an observation of a model whose samples depend on each other, with one pass of the probe."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(16, track_running_stats=False)
    model = nn.Sequential(nn.Flatten(), nn.Linear(900, 16), norm, nn.ReLU(), nn.Linear(16, 3))
    images = torch.rand(40, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    lens = FactorLens(model, LensOptions(ranks=RANKS, solver=QUICK), process_group=group, outputs="classes")
    with group.synchronized_errors():
        return values(lens.observe(images))


def observe_sharded(group, failing=False):
    """The values of an observation by processes that share the parameters and have unequal numbers of passes."""
    from torch.distributed.fsdp import fully_shard

    model = make_net()
    for layer in (model[0], model):
        fully_shard(layer)
    images = torch.randn(150, 1, 30, 30, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    lens = FactorLens(model, LensOptions(ranks=RANKS, solver=QUICK), process_group=group, outputs="classes")
    errors = []
    found = []

    def attempt():
        with group.synchronized_errors():
            found.append(values(lens.measure(images)[0]))

    for k in range(3 if failing else 1):
        with pytest.MonkeyPatch.context() as patch:
            if k == 1 and group.rank == 0:
                patch.setattr(LayerBuffer, "fill", broken_fill)
            errors.append(error_of(attempt))
    return errors, found, model[6].weight.to_local().shape


def broken_fill(*_):
    raise RuntimeError("broken hook")


def work(group):
    return {
        "hook": observe_with_a_failure(group, group.world_size - 1, "hook"),
        "solver": observe_with_a_failure(group, 0, "solver"),
        "no failure": observe_with_a_failure(group, None, ""),
        "fully_shard": refused(group, tensor_parallel=False),
        "tensor parallel": refused(group, tensor_parallel=True),
        "parts": refused_parts(group),
        "dependent": observe_dependent(group),
        "sharded": observe_sharded(group, failing=True),
        "observations": {case: observe(group, case) for case in CASES},
    }


# ---- what must hold


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def results(request, tmp_path_factory):
    return run_in_processes(work, request.param, tmp_path_factory.mktemp("lens"))


@pytest.mark.parametrize("where", ["hook", "solver"])
def test_an_observation_that_fails_in_one_process_fails_in_all_and_changes_nothing(results, where):
    failing_rank = {"hook": len(results) - 1, "solver": 0}[where]
    for p, result in enumerate(results):
        errors, warm_start, training, n_recorded = result[where]
        own = f"RuntimeError: broken {where}"
        expected = own if p == failing_rank else f"PeerError: process {failing_rank}: {own}"
        assert errors == ["none", expected, "none"]
        assert not training
        assert n_recorded == (2, 2)
        assert warm_start != result["no failure"][1]  # there the factors were updated three times, not twice
        assert warm_start == results[0][where][1]


@pytest.mark.parametrize("case", CASES)
def test_observations_equal_those_of_a_single_process(results, case):
    expected, expected_factors = observe(SingleProcess(), case)
    for result in results:
        found, factors = result["observations"][case]
        for a, b in zip(expected, found):
            assert a.keys() == b.keys()
            for name, value in a.items():
                assert b[name] == pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True), name
        for w, v in zip(expected_factors, factors):
            if len(results) <= N_CHUNKS:
                torch.testing.assert_close(v, w, rtol=1e-5, atol=1e-5)
            else:  # products of other shapes round otherwise, and the iterations, stopped early, enlarge it
                assert (v - w).norm() <= 1e-5 * w.norm()


def test_divisions_of_a_model_that_cannot_be_observed_are_refused_with_advice(results):
    for result in results:
        assert result["fully_shard"].startswith("ValueError: model: 6 parameters are sharded over several processes")
        assert f"Pass process_group=get_process_group(device, {len(results)})" in result["fully_shard"]
        assert "'6.weight' is divided along the mesh axis 'split'" in result["tensor parallel"]


def test_parts_of_a_model_are_refused_by_who_divides_them_and_shared_weights_are_not(results):
    for p, result in enumerate(results):
        found = result["parts"]
        assert "'6.weight' is divided along the mesh axis 'expert'" in found["ignored"]
        assert f"also over process {1 if p == 0 else 0}, which is not in the lens's process_group" in found["outside"]
        assert found["tied"] == ""
        assert "6 parameters are sharded over several" in found["concepts"]
        assert "process_group" not in found["concepts"]


def test_a_pass_whose_samples_depend_on_each_other_is_not_divided(results):
    expected = observe_dependent(SingleProcess())
    for result in results:
        for name, value in expected.items():
            assert result["dependent"][name] == pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True), name


def test_a_sharded_model_has_the_numbers_of_a_whole_one_also_after_a_failure_in_one_process(results):
    images = torch.randn(150, 1, 30, 30, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    lens = FactorLens(make_net(), LensOptions(ranks=RANKS, solver=QUICK), outputs="classes")
    expected = values(lens.observe(images))
    for p, result in enumerate(results):
        errors, found, own_shape = result["sharded"]
        failure = "RuntimeError: broken hook"
        assert errors == ["none", failure if p == 0 else f"PeerError: process 0: {failure}", "none"]
        assert len(found) == 2
        for values_of_one in found:
            assert values_of_one.keys() == expected.keys()
            for name, value in expected.items():
                assert values_of_one[name] == pytest.approx(value, abs=1e-12, rel=1e-12, nan_ok=True), name
        assert own_shape[1] == 1152 and own_shape[0] < 5  # sharded again
