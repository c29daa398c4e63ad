"""What each of many processes passes through the model, holds and receives."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from benchmarks.scale.collective_counts import CollectiveCounts
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.distributed import ProcessGroup, SingleProcess, get_process_group, make_partition
from lightning_factorlens.results import Observation

SAMPLES = 256
#: Twelve layers of the default number of neurons, on very many processes.
MANY = 1000
WIDTHS = (4096,) * 12
SAMPLED_ROWS = 3000


class SimulatedGroup(ProcessGroup):
    """One of very many processes, which sends and receives nothing but counts what it would receive.

    Attributes:
        received: Bytes that this process would receive.
        content: Bytes of what it asks for.
    """

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size
        self.group = None
        self.received = 0
        self.content = 0
        self._peer_error = None
        self._transfer_device = torch.device("cpu")

    def all_gather(self, tensor: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Counts what the operations of torch.distributed would receive."""
        self.content += sum(lengths) * tensor.element_size()

        def gather(outputs: Sequence[Tensor], *_: Any, **__: Any) -> None:
            self.received += sum(output.nbytes for output in outputs)

        def deal(output: Tensor, *_: Any, **__: Any) -> None:
            self.received += output.nbytes

        with patch.object(dist, "all_gather", gather), patch.object(dist, "all_to_all_single", deal):
            return super().all_gather(tensor, lengths)

    def _handshake(self, *_: Any, **__: Any) -> list[int]:
        return [0] * self.world_size


def received_per_byte(world_size: int = MANY, rank: int = 0) -> dict[str, float]:
    """Bytes that a process receives for each byte that it asks for, by operation."""
    group = SimulatedGroup(rank, world_size)
    partition = make_partition(group, range(1, SAMPLES + 1)).split_features(WIDTHS)
    own = []
    for b, width in enumerate(WIDTHS):
        own.append(partition.local_features(b, torch.empty(SAMPLES, width)))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(sum(WIDTHS), generator=generator)[:SAMPLED_ROWS].sort().values
    indices = [rows[(rows >= a) & (rows < a + 4096)] - a for a in range(0, sum(WIDTHS), 4096)]
    few_owners = [4096 * (k < len(WIDTHS)) for k in range(world_size)]
    operations: dict[str, Callable[[], Any]] = {
        "whole layers": lambda: partition.gather_blocks(range(len(WIDTHS)), own),
        "norms of features": lambda: partition.gather_features([block[0] for block in own]),
        "sampled features": lambda: partition.gather_columns(own, indices),
        "factors": lambda: partition.gather_factors([block[:16].T for block in own]),
        "values of twelve processes": lambda: group.all_gather(torch.empty(few_owners[rank]), few_owners),
    }
    ratios = {}
    for name, operation in operations.items():
        group.received = group.content = 0
        operation()
        ratios[name] = group.received / group.content
    return ratios


def feature_loads(world_size: int = MANY) -> list[int]:
    """Number of features of each process."""
    slices = make_partition(SimulatedGroup(0, world_size), range(1, SAMPLES + 1)).split_features(WIDTHS).feature_slices
    loads = [0] * world_size
    for parts in slices:
        for rank, part in enumerate(parts):
            loads[rank] += part.stop - part.start
    return loads


def measure(data_dir: Path, quick: bool) -> Measured:
    """Observes one model in eight processes and in one, and counts what one of very many processes would receive."""
    n_processes = 4 if quick else 8
    expected = _observe(SingleProcess())["values"]
    found = in_processes(n_processes)
    difference = 0.0
    for result in found:
        for name, value in expected.items():
            difference = max(difference, abs(result["values"][name] - value))
    largest_pass = max(max(result["passes"]) for result in found)
    ratios = received_per_byte()
    loads = feature_loads()
    busy = sum(load > 0 for load in loads)
    share = sum(loads) / len(loads)
    figures = [
        Figure("shares_largest_pass", largest_pass, SAMPLES / n_processes, at_most=True),
        Figure("shares_difference_of_curves", difference, 1e-5, at_most=True),
        Figure("shares_received_per_byte", max(ratios.values()), 2, at_most=True),
        Figure("shares_processes_with_features", busy, MANY),
        Figure("shares_largest_load_over_mean", max(loads) / share, 2, at_most=True),
        Figure("shares_handshakes_of_a_warm_observation", found[0]["handshakes"], 22, at_most=True),
    ]
    table = markdown_table(
        [f"operation, {MANY} processes", "bytes received per byte asked for"],
        [[name, f"{ratio:.2f}"] for name, ratio in ratios.items()],
    )
    text = (
        f"## Shares\n\n`python -m benchmarks.scale --parts shares`. N = {SAMPLES}. In {n_processes} gloo processes "
        f"the largest forward pass has {largest_pass} images, the {len(expected)} scalars and values of curves "
        f"differ from one process's by at most {difference:.1e}, and a warm observation has "
        f"{found[0]['handshakes']} handshakes and {found[0]['collectives']} other collective operations. "
        f"In a simulated group of {MANY} processes, with {len(WIDTHS)} layers of {WIDTHS[0]} features, {busy} hold "
        f"features, at most {max(loads)} (the mean is {share:.1f}).\n\n{table}"
    )
    return Measured(text, {"received_per_byte": ratios, "processes": found[0]["passes"]}, figures)


def _observe(group: SingleProcess) -> dict[str, Any]:
    """The numbers of a warm observation, the sizes of its passes, its collective operations, and processor seconds."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 8, 3), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 12 * 12, 64), nn.ReLU(), nn.Linear(64, 5)).eval()
    sizes: list[int] = []

    def forward(model: nn.Module, images: Any) -> Any:
        sizes.append(len(images))
        return model(images)

    options = LensOptions(max_neurons_per_layer=None)  # so many that rows are sampled
    lens = FactorLens(model, options, process_group=group, outputs="classes", forward_fn=forward)
    images = torch.rand(SAMPLES, 1, 30, 30, generator=torch.Generator().manual_seed(1))
    with group.synchronized_errors():
        lens.observe(images)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    sizes.clear()
    start = time.process_time()
    with CollectiveCounts() as counts, group.synchronized_errors():
        observation = lens.observe(images)
    seconds = time.process_time() - start
    return {
        "values": _values(observation),
        "passes": sizes,
        "handshakes": counts.handshakes,
        "collectives": counts.collectives,
        "received": counts.received,
        "seconds": seconds,
    }


def _values(observation: Observation) -> dict[str, float]:
    return {
        f"{value.quantity} {value.scope} {value.rank}": value.value
        for value in observation.values()
        if value.quantity != "seconds" and value.value == value.value
    }


def in_processes(count: int) -> list[dict[str, Any]]:
    """What `_observe` finds in each of several gloo processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_process, (count, port, folder), nprocs=count)  # type: ignore[no-untyped-call]
        return [torch.load(f"{folder}/{rank}.pt") for rank in range(count)]


def _process(rank: int, count: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count)
    torch.save(_observe(get_process_group(torch.device("cpu"), count)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
