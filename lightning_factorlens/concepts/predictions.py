"""The predicted class of every sample, and the probabilities of all classes."""

from __future__ import annotations

from collections.abc import Sequence

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


def predicted_values(
    argument: str, concepts: Concepts, class_names: Sequence[str] | None = None
) -> list[int | str | None]:
    """The predicted class of every image; None where the outputs are not finite.

    Args:
        argument: Name of the argument that asks for predictions, for the message.
        concepts: From `FactorLens.concepts`.
        class_names: A word for each class, in the order of the outputs; None for the numbers of the classes.

    Raises:
        ValueError: The model's output is not read as class scores, or there are fewer class names than classes.
    """
    if concepts.predictions is None:
        raise ValueError(
            f"{argument}: the model's output is not read as class scores, so there are no predictions. If it is, pass "
            "outputs='classes' to FactorLens; else give one label for each image."
        )
    predictions = concepts.predictions.tolist()
    words: Sequence[int | str]
    if class_names is None:
        words = range(max(predictions, default=-1) + 1)
    else:
        words = class_names
        n_classes = concepts.probabilities.shape[1] if concepts.probabilities is not None else max(predictions) + 1
        if isinstance(class_names, str) or len(class_names) < n_classes:
            raise ValueError(
                f"class_names: found {class_names!r} for a model of {n_classes} classes; give a list of one word for "
                "each, in the order of the model's outputs."
            )
    return [None if c < 0 else words[c] for c in predictions]
