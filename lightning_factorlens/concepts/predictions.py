"""The predicted class of every sample, and the probabilities of all classes."""

from __future__ import annotations

from torch import Tensor

from lightning_factorlens.linalg.row_sums import sums_to_one
from lightning_factorlens.results import Concepts

#: The word by which users ask for names by the predicted classes.
PREDICTIONS = "predictions"


def predicted_classes(scores: Tensor | None) -> Tensor | None:
    """The class with the largest score; the first one of several.

    Args:
        scores: Logits or probabilities, shape (N, K); None where the output is not read as class scores.

    Returns:
        Shape (N,), int64, −1 where a score is NaN or +∞; None for None.

    Example:
        >>> import torch
        >>> predicted_classes(torch.tensor([[0.1, 0.9], [0.3, torch.nan]])).tolist()
        [1, -1]
    """
    if scores is None:
        return None
    is_prediction = (scores < float("inf")).all(1)  # false for NaN too; −∞ is the logit of a probability of 0
    return scores.argmax(1).where(is_prediction, -1)


def class_probabilities(scores: Tensor | None) -> Tensor | None:
    """The predicted probability of every class.

    Args:
        scores: Logits, log probabilities or probabilities, shape (N, K); None where the output is not read as class
            scores.

    Returns:
        Shape (N, K), float64. The rows have the sum 1, and are 0 where the scores give no prediction. None for None.

    Example:
        >>> import torch
        >>> class_probabilities(torch.tensor([[0.0, 0.0], [0.0, torch.nan]])).tolist()
        [[0.5, 0.5], [0.0, 0.0]]
    """
    if scores is None:
        return None
    values = scores.double()
    probabilities = values / values.sum(1, keepdim=True) if sums_to_one(scores) else values.softmax(1)
    is_prediction = probabilities.isfinite().all(1, keepdim=True)
    return probabilities.where(is_prediction, 0.0)


def predicted_values(argument: str, concepts: Concepts) -> list[int | None]:
    """The predicted class of every image; None where the outputs are not finite.

    Args:
        argument: Name of the argument that asks for predictions, for the message.
        concepts: From `FactorLens.concepts`.

    Raises:
        ValueError: The model's output is not read as class scores.
    """
    if concepts.predictions is None:
        raise ValueError(
            f"{argument}: the model's output is not read as class scores, so there are no predictions. If it is, pass "
            "outputs='classes' to FactorLens; else give one label for each image."
        )
    return [None if c < 0 else c for c in concepts.predictions.tolist()]
