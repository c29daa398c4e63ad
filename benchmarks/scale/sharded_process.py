"""What one process of the benchmark of sharded models does: it trains, observes, fails on purpose, and reports."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.scale.sharded_models import STEPS, WAYS, Net, Training, make_net
from lightning_factorlens import FactorLens
from lightning_factorlens._private_api.modules import own_parameters
from lightning_factorlens.capture.dealt_weights import DealtWeights, deal_weights
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.whole_parameters import WholeParameters
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import PeerError, SingleProcess, get_process_group
from lightning_factorlens.factorization import HALS
from lightning_factorlens.measurements import Context, Measurement, default_measurements
from lightning_factorlens.results import Observation
from lightning_factorlens.spectra.layer_spectra import spectrum_cost

Numbers = dict[tuple[Any, ...], float]


@dataclass(frozen=True)
class Broken(Measurement):
    """A measurement that fails in one process where it is told to."""

    name: ClassVar[str] = "broken"
    needs: ClassVar[frozenset[str]] = frozenset({"capture"})
    switch: list[bool]

    def measure(self, context: Context) -> None:
        """Measures nothing."""
        if self.switch[0]:
            raise RuntimeError("broken on purpose")


def main(rank: int, size: int, port: int, folder: str, ways: list[str], counts: list[int]) -> None:
    """Writes the report of one process to ``folder/RANK.pt``."""
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    group = get_process_group(torch.device("cpu"), size)
    report = {}
    for way in ways:
        report[way] = run_way(WAYS[way], group, counts)
    report["memory"] = memory(group)
    torch.save(report, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def options(count: int) -> LensOptions:
    """A quick factorisation; a rank may not be larger than the number of samples."""
    return LensOptions(ranks=(1, 4) if count >= 4 else (1,), solver=HALS(n_init=1, max_iter=10))


def images(count: int) -> Tensor:
    """Random images, shape (count, 3, 16, 16), the same every time."""
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def numbers_of(observation: Observation) -> Numbers:
    """Every number of an observation except the times."""
    return {(v.quantity, v.scope, v.rank): v.value for v in observation.values() if v.quantity != "seconds"}


def run_way(make: Callable[[], Training], group: SingleProcess, counts: list[int]) -> dict[str, Any]:
    """Trains with observations and without them, and lets one process fail."""
    training = make()
    observations = []
    for k in range(STEPS):
        state = whole_state(training)
        for count in counts if k == 0 else counts[-1:]:
            lens = FactorLens(training.model, options(count), process_group=group, outputs="classes")
            with group.synchronized_errors():
                observations.append((state, count, numbers_of(lens.observe(images(count), k, k))))
        training.step(k)
    without = make()
    for k in range(STEPS):
        without.step(k)
    report: dict[str, Any] = fail(training, group)
    found = {**whole_state(training), **training.local_weights()}
    expected = {**whole_state(without), **without.local_weights()}
    report["observations"] = observations
    report["equal_weights"] = all(torch.equal(found[name], expected[name]) for name in expected)
    return report


def whole_state(training: Training) -> dict[str, Tensor]:
    """Copies of all parameters, gathered by all processes."""
    found = {}
    with torch.no_grad():
        for path, layer in WholeParameters(training.model, lambda _: False).layers():
            values = [*own_parameters(layer).items(), *vars(layer).items()]  # FSDP1 has plain tensors
            for name, value in values:
                if isinstance(value, Tensor) and name != "_flat_param":
                    found[f"{path}.{name}".lstrip(".")] = value.detach().clone()
    return found


def whole_numbers(state: dict[str, Tensor], count: int, k: int) -> Numbers:
    """The numbers that one process measures of the whole model."""
    net = make_net()
    net.load_state_dict(state)
    return numbers_of(FactorLens(net, options(count), outputs="classes").observe(images(count), k, k))


def fail(training: Training, group: SingleProcess) -> dict[str, Any]:
    """One process fails in a measurement: seconds until this one knows it, and whether the next one is exact."""
    switch = [False]
    measurements = [*default_measurements(), Broken(switch)]
    lens = FactorLens(training.model, options(100), measurements, process_group=group, outputs="classes")
    numbers = []
    seconds = 0.0
    error = ""
    for is_broken in (False, True, False):
        switch[0] = is_broken and group.rank == group.world_size - 1
        lens.reset()
        group.all_gather_object("ready")
        start = time.perf_counter()
        try:
            with group.synchronized_errors():
                numbers.append(numbers_of(lens.observe(images(100), 1, 1)))
        except (PeerError, RuntimeError) as found:
            error = f"{type(found).__name__}: {found}"
            seconds = time.perf_counter() - start
    return {"error": error, "error_seconds": seconds, "same_afterwards": repr(numbers[0]) == repr(numbers[-1])}


def memory(group: SingleProcess) -> dict[str, float]:
    """MiB that dealing the weights of a larger network adds to this process, and what the goal allows."""
    _dealt(32, group)  # loads what torch imports at the first use
    net, dealt, added = _dealt(1024, group)
    total = sum(p.numel() for p in net.parameters()) * 4
    largest = sum(p.numel() for p in net.blocks[0].parameters()) * 4
    own = sum(layer.weight.numel() for layer in dealt.layers if not layer.weight.is_meta) * 4
    bound = total / group.world_size + largest
    return {"added": added / 2**20, "bound": bound / 2**20, "model": total / 2**20, "own": own / 2**20}


def _dealt(width: int, group: SingleProcess) -> tuple[Net, DealtWeights, int]:
    """Gathers and deals the weights of a network; with it the bytes that this has added to the process at most."""
    from torch.distributed.fsdp import fully_shard

    net = Net(width)
    for block in net.blocks:
        fully_shard(block)
    fully_shard(net)
    # The largest size so far may lie above the present one; that gap would hide what is added.
    gap = max(0, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - current_bytes())
    filler = torch.ones(gap // 4)
    group.all_gather_object("ready")
    before = current_bytes()
    dealt = deal_weights(net, UsedParameters(), spectrum_cost, group)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del filler
    return net, dealt, peak - before


def current_bytes() -> int:
    """Memory that this process has at the moment."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
