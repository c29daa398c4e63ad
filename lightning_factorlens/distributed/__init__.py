"""Several processes as one: collective operations, assignment of work, and the partition of a problem's data."""

from lightning_factorlens.distributed.assignment import (
    assign_greedy,
    ends_to_slices,
    map_distributed,
    split_blocks,
    split_evenly,
)
from lightning_factorlens.distributed.partition import Partition, ShardedPartition, make_partition
from lightning_factorlens.distributed.process_group import (
    PeerError,
    ProcessGroup,
    SingleProcess,
    get_process_group,
)

__all__ = [
    "Partition",
    "PeerError",
    "ProcessGroup",
    "ShardedPartition",
    "SingleProcess",
    "assign_greedy",
    "ends_to_slices",
    "get_process_group",
    "make_partition",
    "map_distributed",
    "split_blocks",
    "split_evenly",
]
