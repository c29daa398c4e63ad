"""Several processes as one: collective operations, assignment of work, and the partition of a problem's data."""

from lightning_factorlens.distributed.assignment import (
    assign_greedy,
    ends_to_slices,
    feature_unit,
    map_distributed,
    split_blocks,
    split_evenly,
    split_units,
)
from lightning_factorlens.distributed.partition import Partition
from lightning_factorlens.distributed.process_group import ProcessGroup, get_process_group
from lightning_factorlens.distributed.sharded_partition import ShardedPartition, make_partition
from lightning_factorlens.distributed.single_process import SingleProcess
from lightning_factorlens.distributed.synchronized_group import PeerError

__all__ = [
    "Partition",
    "PeerError",
    "ProcessGroup",
    "ShardedPartition",
    "SingleProcess",
    "assign_greedy",
    "ends_to_slices",
    "feature_unit",
    "get_process_group",
    "make_partition",
    "map_distributed",
    "split_blocks",
    "split_evenly",
    "split_units",
]
