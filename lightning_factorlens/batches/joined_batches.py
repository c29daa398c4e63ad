"""Makes the batches of a probe from what the model takes, or from batches that were drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_kinds import mark_bags, without_labels
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs
from lightning_factorlens.batches.merge import merge_batches
from lightning_factorlens.batches.sample_rows import describe_rows


def batch_of_samples(samples: Any, pick: Callable[[Any], Inputs] | None = None) -> Batch:
    """The batch of what the model takes.

    Args:
        samples: A tensor, a batch of any structure, or a `Batch`, which is returned itself.
        pick: Finds the inputs; `find_inputs` unless given.

    Raises:
        TypeError: `find_inputs` finds no inputs.
    """
    if isinstance(samples, Batch):
        return samples
    inputs = find_inputs(samples) if pick is None else pick(samples)
    if isinstance(inputs, list) and isinstance(samples, (list, tuple)) and len(samples) == len(inputs):
        samples = inputs
    return describe_rows(samples, inputs, None)


def describe_drawn(
    drawn: Sequence[DrawnBatch], pick: Callable[[Any], Inputs] | None = None, keep_data: bool = True
) -> list[Batch]:
    """The drawn batches with their inputs and the number of their samples; see `Probe.from_batches`.

    Args:
        drawn: At least one batch. A list is emptied.
        pick: Finds the inputs in a batch; `find_inputs` unless given.
        keep_data: Whether to keep what is no input.

    Raises:
        TypeError: `find_inputs` finds no inputs.
        ValueError: No batches.
    """
    if not drawn:
        raise ValueError("probe: found no batches; give a source that has at least one sample.")
    batches = []
    for batch in drawn:
        inputs = find_inputs(batch.data, batch.n_samples) if pick is None else pick(batch.data)
        batches.append(describe_rows(batch.data, inputs, batch.n_samples))
    batches = mark_bags(batches, [batch.n_samples for batch in drawn])
    if isinstance(drawn, list):
        drawn.clear()
    return batches if keep_data else list(map(without_labels, batches))


def join_batches(batches: list[Batch], size: int) -> list[Batch]:
    """One batch of all samples where they can be joined, else the batches; in either case at most ``size`` samples.

    Args:
        batches: From `describe_drawn`. The list may be emptied.
        size: Number of samples. The last batch is cut there if it can be.
    """
    merged = merge_batches(batches)
    kept: list[Batch] = []
    n_missing = size
    for batch in batches if merged is None else [merged]:
        if n_missing <= 0:
            break
        if batch.is_cuttable and len(batch) > n_missing:
            batch = batch[:n_missing]
        kept.append(batch)
        n_missing -= len(batch)
    return kept
