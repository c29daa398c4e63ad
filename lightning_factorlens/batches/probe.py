"""The probe: the fixed samples of a run, as the batches in which they pass through the model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.batch import Batch, fingerprint
from lightning_factorlens.batches.batch_inputs import input_shapes, join_inputs, map_inputs, mean_input_size, n_bytes
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.find_inputs import Inputs
from lightning_factorlens.batches.joined_batches import batch_of_samples, describe_drawn, join_batches
from lightning_factorlens.batches.pass_size import BATCH, PassSize

#: A probe of more bytes stays in the host's memory and is moved to an accelerator pass by pass.
MAX_DEVICE_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """N samples, in the batches in which they pass through the model.

    In the ordinary case, tensors of N rows of equal shape, there is one batch, which is cut into passes. Batches that
    cannot be joined, such as images of different sizes or graphs, pass as they were collated.

    Example:
        >>> probe = Probe.wrap(torch.rand(300, 3))
        >>> [len(part) for part in probe.batches()], len(probe), tuple(probe.inputs.shape)
        ([128, 128, 44], 300, (300, 3))
        >>> probe
        Probe(300 samples, inputs of shape (3,))
        >>> images = [DrawnBatch(torch.ones(1, 3, size, size), 1) for size in (8, 4)]
        >>> tuple(Probe.from_batches(images, size=256).inputs.shape)
        (2, 3, 4, 4)

    Attributes:
        whole: The batches that hold the samples.
        pass_size: Largest number of samples in a pass.
        is_limited: Whether no more samples were drawn because enough had been.
        first: Position of the first sample in the batches.
        n_samples: Number of samples N; None for all of the batches.
        target: Device to which every pass is moved; None where the samples stay.
        functions: Applied to the inputs of every pass, one after the other.
    """

    whole: tuple[Batch, ...]
    pass_size: PassSize
    is_limited: bool = False
    first: int = 0
    n_samples: int | None = None
    target: torch.device | None = None
    functions: tuple[Callable[[Tensor], Tensor], ...] = field(default=(), repr=False)

    @staticmethod
    def wrap(samples: Any, pick: Callable[[Any], Inputs] | None = None) -> Probe:
        """Makes a probe of what the model takes.

        Args:
            samples: A tensor, a batch of any structure, a `Batch`, or a probe, which is returned itself.
            pick: Finds the inputs; `find_inputs` unless given.

        Raises:
            TypeError: `find_inputs` finds no inputs.
        """
        if isinstance(samples, Probe):
            return samples
        return Probe((batch_of_samples(samples, pick),), PassSize(BATCH, BATCH))

    @staticmethod
    def from_batches(
        drawn: Sequence[DrawnBatch],
        size: int,
        pick: Callable[[Any], Inputs] | None = None,
        keep_data: bool = True,
    ) -> Probe:
        """Makes a probe of batches that were drawn.

        Args:
            drawn: At least one batch. A list is emptied, so that memory does not hold all samples twice.
            size: Largest number of samples, up to the last whole batch where batches cannot be cut.
            pick: Finds the inputs in a batch; `find_inputs` unless given.
            keep_data: Whether to keep everything for the function that calls the model; otherwise the inputs alone are
                kept, so that no label reaches the lens, or the objects that hold them, without their labels.

        Raises:
            TypeError: `find_inputs` finds no inputs.
            ValueError: No batches, or inputs that cannot be compared.
        """
        batches = describe_drawn(drawn, pick, keep_data)
        unit = min(BATCH, max(map(len, batches)))
        n_drawn = sum(map(len, batches))
        return Probe(tuple(join_batches(batches, size)), PassSize(unit, unit), is_limited=n_drawn >= size)

    @cached_property
    def _starts(self) -> list[int]:
        """Position of the first sample of every batch."""
        return [0, *accumulate(map(len, self.whole))][:-1]

    @property
    def _last(self) -> int:
        """Position behind the last sample."""
        return self.first + len(self)

    def __repr__(self) -> str:
        shapes = sorted(input_shapes(self.whole))
        more = f" and {len(shapes) - 1} other shapes" if len(shapes) > 1 else ""
        return f"Probe({len(self)} samples, inputs of shape {shapes[0]}{more})" if shapes else "Probe(0 samples)"

    def __len__(self) -> int:
        return sum(map(len, self.whole)) if self.n_samples is None else self.n_samples

    @property
    def data(self) -> Any:
        """The data of the only batch, or a list of the data of every batch."""
        if len(self.whole) == 1:
            return self.whole[0].data
        return [batch.data for batch in self.whole]

    @property
    def device(self) -> torch.device:
        """Device on which the model receives the samples."""
        return self.whole[0].device if self.target is None else self.target

    @property
    def is_cuttable(self) -> bool:
        """Whether passes can be made smaller."""
        return any(batch.is_cuttable for batch in self.whole)

    @cached_property
    def has_equal_sizes(self) -> bool:
        """Whether the inputs of all samples have the same size."""
        return len(input_shapes(self.whole)) == 1

    @cached_property
    def inputs(self) -> Tensor:
        """The inputs, one row for each sample, shape (N, …); larger ones averaged to the smallest size."""
        if len(self.whole) == 1 and self.whole[0].is_cuttable and not self.functions:
            found = self.whole[0].inputs
            if isinstance(found, Tensor):
                return found if len(self) == len(found) else found[self.first : self._last]
        return join_inputs(self.batches(), input_shapes(self.whole), self.whole[0].device)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the values of `inputs`, equal for probes whose inputs are equal bit for bit."""
        return fingerprint(self.inputs)

    def part(self, start: int, max_size: int | None = None) -> Batch:
        """The samples of one forward pass.

        Args:
            start: Position of its first sample in the probe.
            max_size: Largest number of samples, besides ``pass_size``.

        Returns:
            The batch that begins there: at most as many samples as a pass may have, or a whole batch that cannot be
            cut.
        """
        position = self.first + start
        index = bisect_right(self._starts, position) - 1
        batch = self.whole[index]
        n_dropped = 0
        if batch.is_cuttable:
            size = min(self.pass_size.current, max_size or self.pass_size.current)
            begin = position - self._starts[index]
            end = min(begin + size, len(batch), self._last - self._starts[index])
            if self.functions:
                n_dropped = begin % 2  # a function may treat even and odd samples differently
            batch = batch[begin - n_dropped : end]
        if self.target is not None:
            batch = batch.to(self.target)
        for function in self.functions:
            batch = map_inputs(function, batch)
        return batch[n_dropped:] if n_dropped else batch

    def batches(self, max_size: int | None = None) -> Iterator[Batch]:
        """The samples in order, in the batches in which they pass through the model.

        Args:
            max_size: Largest number of samples in each, besides ``pass_size``; batches that cannot be cut may have
                more.
        """
        start = 0
        while start < len(self):
            part = self.part(start, max_size)
            yield part
            start += len(part)

    def unit_ends(self, n_processes: int = 1) -> list[int]:
        """The positions at which the probe may be divided between processes, the last of which is N.

        Args:
            n_processes: Number of processes. Where there are fewer passes than processes, batches that can be cut are
                divided below a pass, so that each process gets some samples; not if ``pass_size`` forbids it.

        Example:
            >>> probe = Probe.wrap(torch.rand(256, 3))
            >>> probe.unit_ends(), probe.unit_ends(8)
            ([128, 256], [32, 64, 96, 128, 160, 192, 224, 256])
        """
        ends = self._unit_ends(self.pass_size.unit)
        if len(ends) < n_processes and self.pass_size.is_divisible:
            n_samples = sum(map(len, self.whole))
            ends = self._unit_ends(min(self.pass_size.unit, -(-n_samples // n_processes)))
        return ends

    def _unit_ends(self, size: int) -> list[int]:
        """The ends of units of so many samples, and of batches that cannot be cut."""
        ends: list[int] = []
        for start, batch in zip(self._starts, self.whole):
            if batch.is_cuttable:
                ends += range(start + size, start + len(batch), size)
            ends.append(start + len(batch))
        return ends

    def __getitem__(self, rows: slice) -> Probe:
        """Some consecutive samples; of a batch that cannot be cut, all samples."""
        start, stop, _ = rows.indices(len(self))
        first = self.first + start
        last = self.first + stop
        for begin, batch in zip(self._starts, self.whole):
            if not batch.is_cuttable:
                end = begin + len(batch)
                first = begin if begin < first < end else first
                last = end if begin < last < end else last
        return replace(self, first=first, n_samples=last - first)

    @property
    def smallest_batch(self) -> int:
        """Position of the first sample of the batch whose inputs are smallest."""
        return self._starts[min(range(len(self.whole)), key=self._mean_input_size)]

    @property
    def largest_batch(self) -> int:
        """Position of the first sample of the batch whose inputs are largest."""
        return self._starts[max(range(len(self.whole)), key=self._mean_input_size)]

    def _mean_input_size(self, index: int) -> float:
        return mean_input_size(self.whole[index])

    def to(self, device: torch.device) -> Probe:
        """This probe for a model on another device.

        A probe of more than `MAX_DEVICE_BYTES` stays in the host's memory, and its passes are moved one by one.
        """
        is_host = device.type == "cpu"
        stays = not is_host and sum(map(n_bytes, self.whole)) > MAX_DEVICE_BYTES
        home = torch.device("cpu") if stays else device
        target = device if stays else None
        if self.whole[0].device == home and self.target == target:
            return self
        return replace(self, whole=tuple(batch.to(home) for batch in self.whole), target=target)

    def map_inputs(self, function: Callable[[Tensor], Tensor]) -> Probe | None:
        """This probe with a function applied to its inputs, pass by pass.

        Args:
            function: Receives the inputs of some consecutive samples, shape (n, …), the first of which has an even
                position, and returns as many. Where rows are parts of samples, such as nodes, it receives those.

        Returns:
            The probe; None where the inputs are no part of the data but were computed from them.

        Example:
            >>> probe = Probe.wrap({"image": torch.ones(2, 1, 4, 4)})
            >>> float(next(probe.map_inputs(lambda images: images + 1).batches()).data["image"].max())
            2.0
        """
        if self.whole[0].with_inputs(self.whole[0].inputs) is None:
            return None
        return replace(self, functions=(*self.functions, function))

    def halve_passes(self, n_failed: int) -> bool:
        """Makes later passes smaller because one of ``n_failed`` samples needed too much memory.

        Returns:
            Whether they can be made smaller.
        """
        return self.is_cuttable and self.pass_size.halve(n_failed)
