"""Observations as a data frame in long format: one row a number, ready for ``pivot``, seaborn or a csv file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lightning_factorlens.loggers.tags import percent
from lightning_factorlens.results import LayerSpectrum, Observation, PowerLawFit

if TYPE_CHECKING:
    import pandas as pd

#: Columns; where a number has no scope or rank, the cell is missing.
COLUMNS = ("epoch", "step", "quantity", "scope", "rank", "value")
Row = tuple[str, str | None, int | None, float]


def to_frame(observations: Iterable[Observation] | Observation) -> pd.DataFrame:
    """Every number of the records, the arrays in them (eigenvalues, factors, images) left out.

    Example:
        >>> frame = to_frame(callback.history)  # doctest: +SKIP
        >>> frame[frame.quantity == "rel_error"].pivot_table("value", "epoch", ["scope", "rank"])  # doctest: +SKIP

    Args:
        observations: One, or those of a run.

    Returns:
        Columns ``epoch``, ``step``, ``quantity``, ``scope``, ``rank``, ``value``. ``scope`` is ``"total"``,
        ``"inputs"``, ``"activations"``, a block, a layer with a weight, or a phase of ``seconds``. The floors of the
        SVD have ``svd_`` before their quantity. A number that a look did not have has no row, one that is NaN has.

    Raises:
        ImportError: Without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas, or write_jsonl(observations, path)") from error
    looks = [observations] if isinstance(observations, Observation) else observations
    table = pd.DataFrame([(o.epoch, o.step, *row) for o in looks for row in _rows(o)], columns=list(COLUMNS))
    return table.astype({"epoch": "int64", "step": "int64", "rank": "Int64", "value": "float64"})


def _rows(o: Observation) -> Iterator[Row]:
    for before, curves in (("", o.curves), ("svd_", o.svd_curves)):
        for scope, curve in curves.items():
            for name in ("rmse", "rel_error", "rel_sq_error"):
                yield from ((before + name, scope, r, e) for r, e in zip(curve.ranks, getattr(curve, name)))
    for required in o.required_ranks:
        name = f"rank_at_{percent(required.tau)}pct"
        yield name, "total", None, required.rank
        yield f"{name}_capped", "total", None, float(required.is_lower_bound)
    for name in ("effective_rank", "rms", "seconds"):
        yield from ((name, scope, None, value) for scope, value in getattr(o, name).items())
    for name in ("consistency", "share", "skipped"):
        if getattr(o, name) is not None:
            yield name, None, None, float(getattr(o, name))
    for spectrum in o.spectra:
        yield from _numbers(spectrum, spectrum.layer)
        yield from _numbers(spectrum.fit, spectrum.layer)
    if o.alpha is not None:
        yield from _numbers(o.alpha, None)
    for s in o.similarity:
        yield "similarity_off_diagonal", s.layer, s.rank, s.mean_cosine
        yield f"similarity_first_{s.k}", s.layer, s.rank, s.mean_top_k


def _numbers(record: LayerSpectrum | PowerLawFit | Any, scope: str | None) -> Iterator[Row]:
    """The record's fields that are plain numbers."""
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(value, (int, float)):
            yield f.name, scope, None, float(value)
