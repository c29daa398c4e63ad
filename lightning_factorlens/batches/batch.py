"""Some samples as a model takes them: a batch of any structure, and the part of it that counts as the input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.batches.batch_objects import batch_objects, is_batch_object, move, object_inputs
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs
from lightning_factorlens.batches.tree import holds_records, replace_tensors, tree_map


@dataclass(frozen=True)
class Batch:
    """Some samples as the model is called with them.

    Example:
        >>> import torch
        >>> batch = Batch.wrap({"mask": torch.ones(4, 1), "image": torch.rand(4, 3), "name": list("abcd")})
        >>> len(batch), tuple(batch.inputs.shape), batch[1:3].data["name"]
        (4, (4, 3), ['b', 'c'])

    Attributes:
        data: A tensor; tensors in dictionaries, lists and tuples; or an object that holds them, such as a batch of
            graphs. Tensors and lists of n rows have one row for each of the n samples.
        inputs: The tensor that counts as the input, shape (n, …), or a list of one tensor for each sample.
        n_samples: Number of samples n; None for one sample for each row of the inputs.
        row_index: The sample of each row of the inputs, shape (rows,), where the rows are parts of samples, such as the
            nodes of graphs; else None.
        is_single: Whether the batch is one sample without a batch axis.
    """

    data: Any
    inputs: Inputs
    n_samples: int | None = None
    row_index: Tensor | None = None
    is_single: bool = False

    @staticmethod
    def wrap(data: Any, pick: Callable[[Any], Inputs] | None = None) -> Batch:
        """Makes a batch of what the model takes.

        Args:
            data: As the attribute ``data``, or a batch.
            pick: Finds the inputs in ``data``; `find_inputs` unless given.

        Returns:
            The batch; ``data`` itself if it is one.

        Raises:
            TypeError: `find_inputs` finds no inputs in ``data``.
        """
        if isinstance(data, Batch):
            return data
        if pick is not None:
            return Batch(data, pick(data))
        return Batch(data, find_inputs(data))

    def __len__(self) -> int:
        return len(self.inputs) if self.n_samples is None else self.n_samples

    @property
    def is_cuttable(self) -> bool:
        """Whether some of the samples are a batch as well."""
        has_objects = next(batch_objects(self.data), None) is not None
        if self.is_single or self.row_index is not None or has_objects:
            return False
        if isinstance(self.inputs, list):
            return self.data is self.inputs
        return len(self.inputs) == len(self) and not holds_records(self.data, len(self))

    @property
    def device(self) -> torch.device:
        """Device of the inputs."""
        first = self.inputs[0] if isinstance(self.inputs, list) else self.inputs
        return first.device

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the samples of a batch that is cuttable."""
        n_samples = len(self)
        inputs = self.inputs[rows]
        if self.data is self.inputs:
            return Batch(inputs, inputs)

        def select(part: Any) -> Any:
            if part is self.inputs:
                return inputs
            has_rows = (isinstance(part, Tensor) and part.ndim > 0) or isinstance(part, list)
            if has_rows and len(part) == n_samples:
                return part[rows]
            return part

        return Batch(tree_map(select, self.data), inputs)

    def split(self, size: int) -> Iterator[Batch]:
        """Batches of at most ``size`` samples, in order."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device) -> Batch:
        """This batch with its tensors on another device."""
        row_index = None if self.row_index is None else self.row_index.to(device)
        return replace(self.map(lambda part: move(part, device)), row_index=row_index)

    def map(self, function: Callable[[Any], Any]) -> Batch:
        """This batch with a function applied once to every part of its data and to its inputs.

        Args:
            function: Receives tensors and whatever else `tree_map` passes.
        """
        results: dict[int, Any] = {}

        def apply(part: Any) -> Any:
            if id(part) not in results:
                results[id(part)] = function(part)
                if is_batch_object(part):
                    results[id(object_inputs(part))] = object_inputs(results[id(part)])
            return results[id(part)]

        data = tree_map(apply, self.data)
        if self.data is self.inputs:
            return replace(self, data=data, inputs=data)
        if isinstance(self.inputs, list):
            return replace(self, data=data, inputs=[apply(image) for image in self.inputs])
        return replace(self, data=data, inputs=apply(self.inputs))

    def with_inputs(self, inputs: Inputs) -> Batch | None:
        """This batch with other inputs; None if its inputs are no part of its data but were computed from them."""
        if self.data is self.inputs:
            return replace(self, data=inputs, inputs=inputs)
        if isinstance(self.inputs, list):
            replacements = {id(old): new for old, new in zip(self.inputs, inputs)}
        else:
            assert isinstance(inputs, Tensor)
            replacements = {id(self.inputs): inputs}
        data, n_replaced = replace_tensors(self.data, replacements)
        return replace(self, data=data, inputs=inputs) if n_replaced else None


def fingerprint(samples: Tensor) -> str:
    """A hash of the values, equal for samples that are equal bit for bit.

    Args:
        samples: A tensor of any shape and dtype. No copy of the whole is made.

    Returns:
        The 128-bit hash in 32 hexadecimal digits.

    Example:
        >>> fingerprint(torch.zeros(2, 3)) == fingerprint(torch.zeros(2, 3)), fingerprint(torch.zeros(2))
        (True, 'c804ce198ec337e3dc762bdd1a09aece')
    """
    digest = hashlib.blake2b(digest_size=16)
    for row in samples.detach().view(1) if samples.ndim == 0 else samples.detach():
        data = row.contiguous().cpu().flatten().view(torch.uint8).numpy()
        digest.update(data.data)
    return digest.hexdigest()
