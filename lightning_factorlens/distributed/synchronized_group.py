"""Errors that all processes of a group raise together.

A process that raised an exception would leave the others waiting in the next collective operation, so each collective
begins with a small all-reduce in which every process reports whether it failed and which operation it is about to call.
If one failed, or if the operations differ, all processes raise `PeerError` at that point (`synchronized_errors`).

Where the model is sharded, a forward pass is a collective operation of its own. A process that is about to make one
announces it (`announce_pass`), and every process that waits at another operation joins with a pass whose results it
drops (`join_pass`). The processes may therefore have different numbers of passes to make, and a failure of one is known
to the others before their next pass.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist

from lightning_factorlens.distributed.single_process import SingleProcess

#: The operation by which a forward pass of a sharded model is announced.
FORWARD_PASS = "forward pass"
#: Backends that transfer only tensors in main memory.
CPU_BACKENDS = ("gloo", "mpi")


class PeerError(Exception):
    """Raised in all processes when at least one of them failed; the message names the process and its error."""


class SynchronizedGroup(SingleProcess):
    """A group of torch.distributed whose processes tell each other of errors before every operation.

    Args:
        device: Device of this process's model.
        group: The group, of which this process is a member; None for the default one. Of a sharded model it must hold
            all processes between which the parameters are divided.
    """

    def __init__(self, device: torch.device, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank = dist.get_rank(group)
        self.world_size = dist.get_world_size(group)
        self._transfer_device = device
        if dist.get_backend(group) in CPU_BACKENDS:
            self._transfer_device = torch.device("cpu")
        self._peer_error: PeerError | None = None

    @property
    def global_ranks(self) -> set[int]:
        """See `SingleProcess`."""
        return set(range(self.world_size) if self.group is None else dist.get_process_group_ranks(self.group))

    @contextmanager
    def synchronized_errors(self) -> Iterator[None]:
        """See `SingleProcess.synchronized_errors`; contexts must not be nested."""
        try:
            yield
            self._handshake("end of the block")
        except Exception as error:
            if self._peer_error is None:  # otherwise the other processes have already been informed
                with suppress(PeerError):
                    self._handshake("failure", failure=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._peer_error = None
            self.join_pass = None

    def announce_pass(self) -> None:
        """See `SingleProcess.announce_pass`."""
        self._handshake(FORWARD_PASS)

    def _handshake(self, operation: str, *sizes: int, own_size: int = 0, failure: str | None = None) -> list[int]:
        """Checks that no process failed and that all are about to call the same operation.

        It is called after the operation's buffers were allocated, so that a failed allocation is reported, too. As long
        as other processes make forward passes of a sharded model, this one joins them.

        Args:
            operation: Name of the operation.
            sizes: Its sizes, which must be the same in all processes.
            own_size: A size of this process alone.
            failure: This process's error, if it has failed.

        Returns:
            The ``own_size`` of every process.

        Raises:
            PeerError: In all processes, including the one that failed. Until the end of `synchronized_errors` every
                further operation of this process raises it again.
        """
        if self._peer_error is not None:
            raise self._peer_error
        checksum = zlib.crc32(repr((operation, sizes)).encode())
        while True:
            own_sizes = [0] * self.world_size
            own_sizes[self.rank] = own_size
            status = [failure is not None, operation == FORWARD_PASS, checksum, -checksum, *own_sizes]
            buffer = torch.tensor(status, dtype=torch.int64, device=self._transfer_device)
            dist.all_reduce(buffer, op=dist.ReduceOp.MAX, group=self.group)
            any_failed, any_pass, highest, negated_lowest, *own_sizes = buffer.tolist()
            if any_failed or not any_pass:
                break
            if operation == FORWARD_PASS:
                return own_sizes
            if self.join_pass is None:
                raise RuntimeError(
                    "another process makes a forward pass of a sharded model that this one does not know"
                )
            self.join_pass()
        if any_failed or highest != -negated_lowest:
            report = failure
            if not any_failed:
                report = f"called {operation}{sizes} while another process called a different operation"
            self._peer_error = self._joint_error(report)
            raise self._peer_error
        return own_sizes

    def _joint_error(self, report: str | None) -> PeerError:
        """The error that all processes raise, with what each of them reports; a collective operation."""
        reports: list[str | None] = [None] * self.world_size
        dist.all_gather_object(reports, report, group=self.group)
        lines = []
        for rank, peer_report in enumerate(reports):
            if peer_report:
                lines.append(f"process {rank}: {peer_report}")
        return PeerError("; ".join(lines))
