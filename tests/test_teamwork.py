"""Real processes: what each operation gives, one process's failure at any of them, and looks equal to a single one's."""

import socket
from dataclasses import dataclass, replace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.capture.activations import input_blocks
from lightning_factorlens.capture.distributed import apply_sign_policies_distributed
from lightning_factorlens.capture.signs import Denormalize, SubtractMin
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import (
    PeerError,
    ProcessGroup,
    SingleProcess,
    assign_greedy,
    ends_to_slices,
    get_process_group,
    split_blocks,
    split_evenly,
)
from lightning_factorlens.factorization import HALS, L1, MultiplicativeUpdates
from lightning_factorlens.results import Block

RANKS = (1, 2, 4)
QUICK = HALS(n_init=2, max_iter=20)


# ---- what runs in every process


def net(act=nn.ReLU):
    """Layers of 9408 and 1352 neurons: more than a sample, and the first in two pieces."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 12, 3), act(), nn.MaxPool2d(2), nn.Conv2d(12, 8, 3, stride=1), act(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 12 * 12, 5)).eval()


@torch.no_grad()
def trained(model, step):
    """Weights that move a little."""
    g = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p += 0.05 * p.std() * torch.randn(p.shape, generator=g)


@dataclass(frozen=True)
class Halved:
    """A policy that must see whole layers."""

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
    "a policy of one's own": (nn.Tanh, {"solver": QUICK, "activation_sign_policy": Halved()}),
    "papers": (nn.ReLU, {"solver": MultiplicativeUpdates(max_iter=4)}),
    "penalty": (nn.ReLU, {"solver": HALS(n_init=1, max_iter=4, penalty_W=L1(1e-3))}),
    "several passes": (nn.ReLU, {"solver": replace(QUICK, n_final_iter=3)}),
}


def looks(team, case, count=2, samples=150):
    act, options = CASES[case]
    images = torch.randn(samples, 1, 30, 30, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)
    lens = FactorLens(
        net(act), LensOptions(**{"max_neurons_per_layer": None, "ranks": RANKS, **options}), process_group=team
    )
    seen = []
    for step in range(count):
        trained(lens.model, step)
        with team.together():
            seen.append(lens.observe(images))
    return [values(o) for o in seen], [w for o in seen for ws in o.factorization.W for w in ws]


def values(o):
    """Every number of an observation but the seconds, by name."""
    found = {"consistency": o.consistency, "mean_alpha": o.alpha.mean_alpha if o.alpha else None}
    for kind in ("curves", "floors"):
        for scope, curve in getattr(o, kind).items():
            for name in ("rel_error", "rmse", "rel_sq_error"):
                found |= {f"{kind}/{scope}/{name}/{r}": v for r, v in zip(curve.ranks, getattr(curve, name))}
    found |= {f"effective_rank/{s}": v for s, v in o.effective_rank.items()}
    found |= {f"rms/{s}": v for s, v in o.rms.items()}
    found |= {f"rank@{r.tau}": r.rank for r in o.required_ranks}
    found |= {f"alpha/{s.layer}": s.fit.alpha for s in o.spectra} | {f"λ/{s.layer}": s.lambda_max for s in o.spectra}
    return found | {f"similarity/{s.layer}": s.off_diagonal for s in o.similarity}


def caught(work):
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def operations(team):
    """Every operation once, on tensors that tell the processes apart."""
    p, n = team.place, team.size
    return {
        "sum": lambda: team.sum(torch.tensor([1.0, 10.0**p])).tolist(),
        "smallest": lambda: team.smallest([float(p), -float(p), float("nan") if p else 3.0]),
        "agree": lambda: team.agree(torch.tensor([p + 7])).tolist(),
        "first": lambda: team.first(lambda: {"from": p}),
        "everyone": lambda: team.everyone(("I am", p)),
        "gather": lambda: [t.tolist() for t in team.gather(torch.full((p,), float(p)), list(range(n)))],
        "swap": lambda: team.swap(torch.full((n * (n - 1) // 2,), float(p)), list(range(n)), [p] * n).tolist(),
    }


def failures(team):
    """One process fails before each operation in turn; all must know, and be able to go on."""
    found = {}

    def attempt(operation, who):
        with team.together():
            team.sum(torch.ones(2))
            if team.place == who:
                raise ValueError("oh no")
            operation()
            team.sum(torch.ones(2))

    for name, operation in [*operations(team).items(), ("the end", lambda: None)]:
        for who in range(team.size):
            words = caught(lambda o=operation, w=who: attempt(o, w))
            found[name, who] = (words, team.sum(torch.ones(1)).item())
    return found


def out_of_step(team):
    def differ():
        with team.together():
            team.sum(torch.ones(3 + team.place))

    def swallow():
        with team.together():
            if team.place == 0:
                raise ValueError("oh no")
            caught(lambda: team.sum(torch.ones(1)))
            caught(lambda: team.sum(torch.ones(1)))

    return {"differ": caught(differ), "swallow": caught(swallow), "after": team.sum(torch.ones(1)).item()}


def broken_lens(team, who, where):
    """Looks of which the second fails in one process, and the third must be what the second would have been."""

    class Broken(HALS):
        def finish(self, *_):
            raise RuntimeError("broken solver")

    def hook(module, args, output):
        if lens.broken:
            raise RuntimeError("broken hook")

    images = torch.rand(150, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    lens = FactorLens(net(), LensOptions(ranks=RANKS, max_neurons_per_layer=None, solver=QUICK), process_group=team)
    lens.broken, told = False, []
    lens.model[3].register_forward_hook(hook)

    def look():
        with team.together():
            lens.observe(images)

    for k in range(3):
        failing, before = k == 1 and team.place == who, lens.warm_start
        lens.broken, options = failing and where == "hook", lens.options
        if failing and where == "solver":
            lens.options = replace(options, solver=Broken())
        told.append(caught(look))
        lens.options = options
        if told[-1] != "nothing":
            lens.warm_start = before
    return told, [float(f.double().sum()) for f in lens.warm_start.F], lens.model.training


def sharded_model(team):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = fully_shard(net(), mesh=init_device_mesh("cpu", (team.size,)))
    return caught(lambda: FactorLens(model, LensOptions(ranks=RANKS)).select_layers(torch.rand(8, 1, 30, 30)))


def shared_blocks(team):
    """How many columns of every block each process holds."""
    images = torch.rand(20, 3, 60, 60)
    layers = [Block("a", "activation", torch.rand(20, 0), (1,), rank_ends=(0,) * team.size)]
    blocks = apply_sign_policies_distributed(team, input_blocks(images), layers, SubtractMin(), SubtractMin(), 1000)
    return [(b.samples.shape[1], b.rank_ends) for b in blocks[:3]]


WORK = {
    "operations": lambda team: {name: do() for name, do in operations(team).items()},
    "failures": failures,
    "out of step": out_of_step,
    "hook": lambda team: broken_lens(team, team.size - 1, "hook"),
    "solver": lambda team: broken_lens(team, 0, "solver"),
    "nobody": lambda team: broken_lens(team, None, ""),
    "fully_shard": sharded_model,
    "blocks": shared_blocks,
}


def process(place, size, port, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=place, world_size=size)
    team = get_process_group(torch.device("cpu"), size)
    found = {name: work(team) for name, work in WORK.items()}
    found["looks"] = {case: looks(team, case) for case in CASES}
    torch.save(found, f"{folder}/{place}.pt")
    dist.destroy_process_group()


# ---- what is asked of them


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def found(request, tmp_path_factory):
    """What each process found."""
    size, folder = request.param, tmp_path_factory.mktemp("team")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = torch.multiprocessing.spawn(process, (size, port, folder), nprocs=size, join=False)
    for _ in range(400):
        if context.join(timeout=1):
            break
    else:
        for running in context.processes:
            running.kill()
        pytest.fail("the processes wait for each other")
    return [torch.load(folder / f"{place}.pt", weights_only=False) for place in range(size)]


def test_every_operation_gives_what_it_says(found):
    n = len(found)
    for p, f in enumerate(found):
        assert f["operations"] == {
            "sum": [n, sum(10.0**q for q in range(n))],
            "smallest": [0.0, 1.0 - n, -torch.inf],
            "agree": [7],
            "first": {"from": 0},
            "everyone": [("I am", q) for q in range(n)],
            "gather": [[float(q)] * q for q in range(n)],
            "swap": [float(q) for q in range(n) for _ in range(p)],
        }


def test_one_process_that_fails_anywhere_is_known_to_all_and_all_go_on(found):
    n = len(found)
    for p, f in enumerate(found):
        for (_, who), (words, after) in f["failures"].items():
            theirs = f"PeerFailed: process {who}: ValueError: oh no"
            assert (words, after) == ("ValueError: oh no" if p == who else theirs, n)


def test_processes_that_want_different_things_give_up_together(found):
    for p, f in enumerate(found):
        assert f["out of step"]["differ"].startswith("PeerFailed: process 0: out of step at 'sum'")
        assert f["out of step"]["swallow"].startswith("ValueError" if p == 0 else "PeerFailed: process 0: ValueError")
        assert f["out of step"]["after"] == len(found)


@pytest.mark.parametrize("where", ["hook", "solver"])
def test_a_look_that_fails_in_one_process_is_given_up_by_all_and_the_next_is_as_if_it_had_not_been(found, where):
    who = {"hook": len(found) - 1, "solver": 0}[where]
    for p, f in enumerate(found):
        told, warm, training = f[where]
        own = f"RuntimeError: broken {where}"
        assert told == ["nothing", own if p == who else f"PeerFailed: process {who}: {own}", "nothing"]
        assert not training
        assert warm != f["nobody"][1]  # which had two more looks at its factors, not one
        assert warm == found[0][where][1]


@pytest.mark.parametrize("case", CASES)
def test_looks_are_those_of_a_single_process(found, case):
    alone, factors = looks(SingleProcess(), case)
    for f in found:
        together, theirs = f["looks"][case]
        for a, b in zip(alone, together):
            assert a.keys() == b.keys()
            for name, value in a.items():
                assert b[name] == pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True), name
        for w, v in zip(factors, theirs):
            torch.testing.assert_close(v, w, rtol=1e-5, atol=1e-5)


def test_every_process_holds_a_share_of_the_features(found):
    for b in range(3):
        held = [f["blocks"][b] for f in found]
        assert sum(width for width, _ in held) == 3600
        assert all(ends == held[0][1] for _, ends in held)
    load = [sum(width for width, _ in f["blocks"]) for f in found]
    assert max(load) - min(load) <= 1000


def test_a_model_in_pieces_is_refused_in_words(found):
    for f in found:
        assert f["fully_shard"].startswith("ValueError: model: 6 parameters lie in pieces in several processes")
        assert "first '0.weight'" in f["fully_shard"] and "Train with DDP" in f["fully_shard"]


@pytest.mark.parametrize(("n", "size", "unit"), [(256, 2, 128), (256, 4, 128), (300, 4, 128), (10, 3, 1), (0, 2, 1)])
def test_shares_are_whole_units_in_order(n, size, unit):
    dealt = split_evenly(n, size, unit)
    assert [i for s in dealt for i in range(n)[s]] == list(range(n))
    assert all(s.start % unit == 0 or s.start == n for s in dealt)
    widths = [-(-(s.stop - s.start) // unit) for s in dealt]
    assert max(widths) - min(widths) <= 1


@pytest.mark.parametrize("totals", [[9408, 1352], [4096] * 17, [5], [100_000, 10], [3, 3, 3]])
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_lines_are_cut_at_units_and_loads_differ_by_one(totals, size):
    dealt = [ends_to_slices(ends) for ends in split_blocks(totals, size, 1024)]
    for total, own in zip(totals, dealt):
        assert [i for s in own for i in range(total)[s]] == list(range(total))
        assert all(s.start % 1024 == 0 or s.start == total for s in own)
    loads = [sum(s.stop - s.start for s in part) for part in zip(*dealt)]
    assert max(loads) <= sum(totals) / size + 1024


def test_tasks_go_to_whoever_is_least_busy():
    who = assign_greedy([5, 1, 4, 2], [0, 0])
    assert sorted(sum(c for c, p in zip([5, 1, 4, 2], who) if p == q) for q in (0, 1)) == [6, 6]
    assert assign_greedy([1, 1], [10, 0, 0]) == [1, 2]


def test_without_processes_there_is_one():
    assert type(get_process_group(torch.device("cpu"), 1)) is SingleProcess
    assert type(get_process_group(torch.device("cpu"), 2)) is SingleProcess  # nobody has started any
    assert not isinstance(SingleProcess(), ProcessGroup)
    with pytest.raises(ValueError, match="as it came"), SingleProcess().synchronized_errors():
        raise ValueError("as it came")
    assert not issubclass(PeerError, RuntimeError)  # which callers take for the model's own
