"""What a model's output is read as: the user's word for it, and the decision with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.capture.output_parts import find_parts

#: What a part of the output can be. ``"pixel_classes"`` has the classes along axis 1, (N, K, H, W) or (N, K, T);
#: ``"token_classes"`` along the last axis, (N, T, K).
KINDS = ("classes", "pixel_classes", "token_classes", "multilabel", "regression", "embedding", "none")
#: Name of each kind in a sentence.
NAMES = {
    "classes": "class scores",
    "pixel_classes": "class scores of every position",
    "token_classes": "class scores of every token",
    "multilabel": "scores of labels that do not exclude each other",
    "regression": "regressed values",
    "embedding": "an embedding",
}
#: Outputs for which signals from perturbations have failed as a stop.
FAILED_AS_STOP = ("multilabel", "pixel_classes")


@dataclass(frozen=True)
class Outputs:
    """What a model's output is, as the user says.

    Example:
        >>> Outputs("classes", key="sex")
        Outputs(kind='classes', key='sex')

    Attributes:
        kind: ``"classes"``: scores of classes that exclude each other, (N, K), as logits, log probabilities or
            probabilities; ``"pixel_classes"``: (N, K, H, W); ``"token_classes"``: (N, T, K); ``"multilabel"``;
            ``"regression"``; ``"embedding"``; ``"none"``: nothing is read.
        key: Key or position of the part that is meant, where the output has several; ``"0.1"`` is the second part of
            the first. None where only one part can be meant.

    Raises:
        ValueError: Another kind, or a key that is neither text nor a whole number.
    """

    kind: str
    key: str | int | None = None

    def __post_init__(self) -> None:
        check_choice("outputs", self.kind, KINDS)
        is_key = isinstance(self.key, (str, int)) and not isinstance(self.key, bool)
        if self.key is not None and not is_key:
            raise ValueError(
                f"outputs: key must be a key or position of the output such as 'sex', 0 or '0.1', found {self.key!r}."
            )


def check_outputs(outputs: Any) -> Outputs | None:
    """Checks the argument ``outputs``.

    Args:
        outputs: A kind, an `Outputs` object, or None for a decision by evidence.

    Returns:
        The object; None for None.

    Raises:
        ValueError: Another kind.
        TypeError: Another type.

    Example:
        >>> check_outputs("regression")
        Outputs(kind='regression', key=None)
    """
    if outputs is None or isinstance(outputs, Outputs):
        return outputs
    if not isinstance(outputs, str):
        raise TypeError(
            f"outputs: found {outputs!r}; give one of {', '.join(map(repr, KINDS))}, or an object such as "
            "Outputs('classes', key='sex')."
        )
    return Outputs(outputs)


def describe_part(path: str, shape: tuple[int, ...]) -> str:
    """A part of an output in words, such as ``'sex' (N, 2)``.

    Args:
        path: Its path in the output; empty for an output that is one tensor.
        shape: Its shape for one sample.

    Example:
        >>> describe_part("sex", (2,)), describe_part("", (8,))
        ("'sex' (N, 2)", '(N, 8)')
    """
    sizes = ", ".join(("N", *map(str, shape)))
    return f"{path!r} ({sizes})".replace("(N)", "(N,)") if path else f"({sizes})".replace("(N)", "(N,)")


@dataclass(frozen=True)
class OutputDecision:
    """Which part of a model's output is read, as what, and why.

    Attributes:
        kind: One of `KINDS`, or ``"unknown"``.
        path: Path of the part that is read; None where none is. A part of unknown kind is read by measurements that
            need no kind.
        shape: Shape of the part for one sample.
        reason: Why, in words.
        is_provisional: Whether class scores are assumed until the first training step confirms or refutes it.
        is_probability: Whether the part is probabilities, which is decided once and not by each batch's values.
        may_be_classes: Whether some part has the shape of class scores, so that the user could say that it is.
        class_key: The path of one such part, where there are several.
    """

    kind: str = "unknown"
    path: str | None = None
    shape: tuple[int, ...] = ()
    reason: str = "the output has not been examined"
    is_provisional: bool = False
    is_probability: bool = False
    may_be_classes: bool = False
    class_key: str | None = None

    def _repr_html_(self) -> str:
        """What is read of the output, for notebooks."""
        part = "no part" if self.path is None else f"part {self.path!r}" if self.path else "all"
        shape = "×".join(map(str, self.shape)) or "scalar"
        title = f"{part} of the output, {shape} a sample, is read as: {self.kind}"
        return f"<div><b>{escape(title)}</b><br><small>{escape(self.reason)}</small></div>"

    def tensor(self, output: Any, n_samples: int) -> Tensor | None:
        """The part of an output that is read, in float32.

        Args:
            output: What the model returned.
            n_samples: Number of samples in the batch.

        Returns:
            Shape (n_samples, …); None where nothing is read or the output has no such part.
        """
        if self.path is None:
            return None
        found = find_parts(output, n_samples).get(self.path)
        return None if found is None else found.float()

    def class_scores(self, output: Any, n_samples: int) -> Tensor | None:
        """The class scores in an output, shape (n_samples, K), float32; None where it has none."""
        if self.kind != "classes":
            return None
        found = self.tensor(output, n_samples)
        if found is None or found.ndim != 2 or found.shape[1] < 2:
            return None
        part = find_parts(output, n_samples)[self.path or ""]
        if self.is_probability and part.dtype in (torch.float16, torch.bfloat16):
            return found / found.sum(1, keepdim=True)  # rounded probabilities no longer sum to 1
        return found

    def assume_classes(self) -> OutputDecision:
        """The part read as class scores until that is confirmed or refuted, if it has the shape (N, K ≥ 2)."""
        can_be_classes = self.path is not None and len(self.shape) == 1 and self.shape[0] >= 2
        return replace(self, kind="classes", is_provisional=True) if can_be_classes else self

    @property
    def line(self) -> str:
        """The decision in one line, such as ``outputs: 'sex' (N, 2), read as class scores: cross-entropy …``."""
        if self.path is None or self.kind not in NAMES:
            return f"outputs: read as nothing: {self.reason}"
        part = describe_part(self.path, self.shape)
        return f"outputs: {part}, read as {NAMES[self.kind]}: {self.reason}"

    @property
    def alternatives(self) -> str:
        """What a user can do where there are no class scores."""
        advice = ""
        if self.may_be_classes and self.kind in ("unknown", "none"):
            word = "'classes'" if self.class_key is None else f"Outputs('classes', key={self.class_key!r})"
            advice = f"If a part of the output is class scores, pass outputs={word}. "
        caveat = "is untested as a stop signal"
        if self.kind in FAILED_AS_STOP:
            caveat = "as a stop lost 15 to 50 points of accuracy on such outputs (better stop by held-out labels)"
        return (
            f"{advice}Signals that need no class scores: measurements=[*default_measurements(), "
            "PerturbationConsistency()] with LabelFreeStopping(monitor='factorlens/perturbation_consistency', rule=…), "
            f"which {caveat}, or factorlens/effective_rank, of which higher is better."
        )

    def state_dict(self) -> dict[str, Any]:
        """The decision in plain types, for checkpoints."""
        return {**vars(self), "shape": list(self.shape)}

    @staticmethod
    def from_state_dict(state: Mapping[str, Any]) -> OutputDecision:
        """The decision that `state_dict` has given."""
        return OutputDecision(**{**state, "shape": tuple(state["shape"])})
