"""The fitted model of the probability that a training's best epoch is past, read from the data beside this file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lightning_factorlens._validation import check_choice

#: The coefficients, with the runs on which they were fitted and their calibration on runs that were left out.
MODEL_FILE = Path(__file__).with_name("probability_model.json")
#: What "best" means: the lowest test loss, or the highest test accuracy.
TARGETS = ("loss", "accuracy")
#: The sets of coefficients: the number of epochs is known beforehand, or not.
PLANNED = "planned"
UNPLANNED = "unplanned"


@dataclass(frozen=True)
class LogisticModel:
    """P = 1 / (1 + exp(−(intercept + Σ coefficient · feature))).

    Attributes:
        intercept: The constant.
        coefficients: A coefficient for the name of each feature; others are not used.

    Example:
        >>> model = LogisticModel(-1.0, {"since": 1.0})
        >>> model.probability({"since": 1.0, "rise": 3.0})
        0.5
    """

    intercept: float
    coefficients: Mapping[str, float]

    def probability(self, features: Mapping[str, float]) -> float:
        """Computes the probability.

        Args:
            features: Values by name; one for each of the coefficients.
        """
        total = self.intercept
        for name, coefficient in self.coefficients.items():
            total += coefficient * features[name]
        if total >= 0:
            return 1 / (1 + math.exp(-total))
        return math.exp(total) / (1 + math.exp(total))  # of a large negative total exp(−total) would overflow


def fitted_model(target: str, is_planned: bool) -> LogisticModel:
    """Returns the model that comes with the package.

    Args:
        target: One of `TARGETS`.
        is_planned: Whether the planned number of epochs is known.

    Raises:
        ValueError: An unknown target.

    Example:
        >>> sorted(fitted_model("loss", is_planned=False).coefficients)
        ['fall', 'rise', 'since']
    """
    check_choice("target", target, TARGETS)
    return _models()[target, PLANNED if is_planned else UNPLANNED]


@lru_cache
def _models() -> dict[tuple[str, str], LogisticModel]:
    content = json.loads(MODEL_FILE.read_text(encoding="utf-8"))
    models = {}
    for target in TARGETS:
        for kind in (PLANNED, UNPLANNED):
            numbers = dict(content["targets"][target][kind])
            models[target, kind] = LogisticModel(numbers.pop("intercept"), numbers)
    return models
