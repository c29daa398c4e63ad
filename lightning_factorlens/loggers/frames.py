"""Observations as a data frame in long format: one row for each number, ready for ``pivot``, seaborn or a CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lightning_factorlens.results import Observation

if TYPE_CHECKING:
    import pandas as pd

#: Columns; where a number has no scope or rank, the cell is missing.
COLUMNS = ("epoch", "step", "quantity", "scope", "rank", "value")


def to_frame(observations: Iterable[Observation] | Observation) -> pd.DataFrame:
    """Converts the numbers of all records to a data frame, without the arrays (eigenvalues, factors, inputs).

    Args:
        observations: One observation, or those of a run, e.g. ``callback.history``.

    Returns:
        Columns ``epoch``, ``step``, ``quantity``, ``scope``, ``rank``, ``value``. ``scope`` is ``"total"``,
        ``"inputs"``, ``"activations"``, a block, a layer with a weight, or a phase of ``seconds``. Errors of the
        truncated SVD have ``svd_`` before their quantity. A number that an observation does not have has no row; a
        number that is NaN has one.

    Raises:
        ImportError: pandas is not installed.

    Example:
        >>> from lightning_factorlens.results import Observation, Scalars
        >>> observation = Observation(epoch=1, step=100, records={"consistency": Scalars({"consistency": 0.5})})
        >>> to_frame([observation])[["epoch", "quantity", "value"]].to_dict("records")
        [{'epoch': 1, 'quantity': 'consistency', 'value': 0.5}]
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas, or write_jsonl(observations, path)") from error
    if isinstance(observations, Observation):
        observations = [observations]
    rows = []
    for observation in observations:
        for value in observation.values():
            row = (observation.epoch, observation.step, value.quantity, value.scope, value.rank, value.value)
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"epoch": "int64", "step": "int64", "rank": "Int64", "value": "float64"})
