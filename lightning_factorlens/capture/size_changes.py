"""Layers whose outputs change their size with the samples: which can be averaged to one size, and which cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning_factorlens.batches.sample_rows import is_resizable
from lightning_factorlens.capture.default_layers import TracedOutput


def compare_sizes(smallest: Sequence[TracedOutput], largest: Sequence[TracedOutput]) -> list[TracedOutput]:
    """The trace of the smallest samples, with what the trace of the largest ones tells about each output.

    Args:
        smallest: From `trace_layers`, of samples of the smallest inputs.
        largest: From `trace_layers`, of samples of the largest inputs.

    Returns:
        The outputs of ``smallest``. Those that are larger in ``largest`` are averaged to the shape they have here;
        those that cannot be, or that are not computed for every sample, have an `obstacle`.
    """
    by_name = {output.name: output for output in largest}
    compared = []
    for output in smallest:
        compared.append(_compare(output, by_name.get(output.name)))
    return compared


def _compare(output: TracedOutput, other: TracedOutput | None) -> TracedOutput:
    if output.obstacle:
        return output
    if other is None:
        return replace(output, obstacle="not computed for every sample")
    if other.obstacle:
        return replace(output, obstacle=other.obstacle)
    shape = output.info.shape
    found = other.info.shape
    if shape == found:
        return output
    if not is_resizable(found, shape, is_floating_point=True):
        return replace(output, obstacle=f"its features change with the sample: {shape} and {found}")
    treatment = "larger outputs averaged to this shape"
    if output.treatment:
        treatment = f"{output.treatment}; {treatment}"
    return replace(output, treatment=treatment)
