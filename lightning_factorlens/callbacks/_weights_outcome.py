"""What became of the module's weights at the end of ``fit``."""

from __future__ import annotations

from dataclasses import dataclass

#: Which weights the module has, as `HandedOver` names them.
UNCHANGED = "unchanged"
BEST = "best"
AVERAGE = "average"


@dataclass(frozen=True)
class Outcome:
    """Which weights the module has been given.

    Attributes:
        words: What was done, in words that follow the name of the callback.
        weights: `UNCHANGED`, `BEST` or `AVERAGE`.
        epoch: The epoch of the weights, or the last one of the average; None if they were left as they were.
        is_reported: Whether a warning has said so already.
    """

    words: str
    weights: str = UNCHANGED
    epoch: int | None = None
    is_reported: bool = False


#: Where no observation had a value.
NO_BEST_EPOCH = Outcome("restores no weights, because no epoch has been the best")
#: Where the user wants no other weights than those of the training.
NOT_ASKED_FOR = Outcome("leaves the weights as they are, as restore_best=False asks for")
