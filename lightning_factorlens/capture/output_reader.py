"""The decision how a model's output is read, from the user's word, the model, its metrics and its training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lightning_factorlens.capture.loss_terms import LossGraph, LossTerm
from lightning_factorlens.capture.output_parts import OutputPart
from lightning_factorlens.capture.outputs import OutputDecision, Outputs, describe_part
from lightning_factorlens.capture.training_code import losses_in_code

#: Kinds that are read from parts of the shape (N, K ≥ 2), and from parts with further axes.
FITS: dict[str, Callable[[OutputPart], bool]] = {
    "classes": lambda part: part.is_matrix,
    "pixel_classes": lambda part: part.is_dense,
    "token_classes": lambda part: part.is_dense,
}

#: Beginning of the class name of torchmetrics modules, the kind of output, and the attribute with its size.
METRIC_TASKS = (("Multiclass", "classes", "num_classes"), ("Multilabel", "multilabel", "num_labels"))


@dataclass(frozen=True)
class OutputReader:
    """Decides which part of an output is read, and as what.

    Example:
        >>> reader = OutputReader(nn.Identity(), (OutputPart("", (8,)),), None)
        >>> reader.decide().kind, reader.needs_training_step
        ('unknown', True)

    Attributes:
        model: The model; torchmetrics modules in it name the task.
        parts: The parts of its output, from `inspect_outputs`.
        word: What the user says; None for nothing.
    """

    model: nn.Module
    parts: Sequence[OutputPart]
    word: Outputs | None

    @property
    def needs_training_step(self) -> bool:
        """Whether only the training step can tell what the output is."""
        return self.decide().kind == "unknown" and bool(self.parts)

    def decide(self) -> OutputDecision:
        """The decision before any training step: by the user's word, a softmax in the model, or its torchmetrics.

        Raises:
            ValueError: The user's word does not fit the output.
        """
        if self.word is not None:
            return self._decide_by_word(self.word)
        return self._by_softmax() or self._by_metrics() or self._unknown("nothing says whether {part} are class scores")

    def decide_by_training(self, graph: LossGraph | None, module: nn.Module) -> OutputDecision:
        """The decision after the first training step, where `decide` could not tell.

        Args:
            graph: The losses of the step; None where no loss was seen.
            module: The object whose method ``training_step`` is read where the graph does not show the losses.
        """
        terms = sorted(graph.terms, key=repr) if graph is not None else []
        found = {"classes": {}, "multilabel": {}, "regression": {}}  # type: dict[str, dict[str, OutputDecision]]
        for term in terms:
            for part in self.parts:
                decision = self._confirm(term, part)
                if decision is not None:
                    found[term.kind][part.path] = decision
        for decisions in found.values():
            if len(decisions) == 1:
                return next(iter(decisions.values()))
            if decisions:
                named = " and ".join(map(repr, decisions))
                return self._unknown(f"the training step's losses are taken of {named}; name one of them", read=False)
        if graph is None or graph.is_opaque:
            return self._by_code(module)
        losses = sorted({term.loss for term in terms if term.operation != "Softmax"})
        if losses:
            return self._unknown(f"the training step's {' and '.join(losses)} is not taken of {{part}}")
        return self._unknown("the training step shows no loss that is known to be taken of {part}")

    def _decide_by_word(self, word: Outputs) -> OutputDecision:
        if word.kind == "none":
            return self._unknown("outputs='none'", read=False, kind="none")
        fits = FITS.get(word.kind, lambda part: True)
        fitting = [part for part in self.parts if fits(part)]
        if word.key is not None:
            fitting = [part for part in fitting if part.path == str(word.key)]
        elif len(fitting) > 1:
            fitting = [part for part in fitting if part.path.rpartition(".")[2] == "logits"] or fitting
        if len(fitting) == 1:
            return self._read(word.kind, fitting[0], "outputs= says so")
        listed = ", ".join(describe_part(part.path, part.shape) for part in self.parts) or "no tensor with N rows"
        call = f"Outputs({word.kind!r}, key={fitting[0].path!r})" if fitting else "another kind or key"
        expected = {"classes": " of shape (N, K ≥ 2)", "pixel_classes": " of shape (N, K, …)"}.get(word.kind, "")
        key = "" if word.key is None else f" under {word.key!r}"
        raise ValueError(
            f"outputs: {word.kind!r} needs one part of the output{expected}{key}, found {len(fitting)}; the model "
            f"returns {listed}. Pass outputs={call}."
        )

    def _by_softmax(self) -> OutputDecision | None:
        """The only part of the output, where it is a softmax: several softmaxes may be attention or gates."""
        if len(self.parts) != 1:
            return None
        part = self.parts[0]
        kind = _class_kind(part, part.softmax_axis)
        return None if kind is None else self._read(kind, part, "the model returns a softmax")

    def _by_metrics(self) -> OutputDecision | None:
        found = {}
        for name, kind, size in _metric_tasks(self.model):
            for part in self.parts:
                axis = 0 if len(part.shape) != 2 else -1
                is_meant = part.shape[axis : axis + 1 or None] == (size,) and (part.is_matrix or part.is_dense)
                if is_meant:
                    part_kind = kind if kind == "multilabel" or part.is_matrix else "pixel_classes"
                    found[part.path, kind] = self._read(part_kind, part, f"the module holds a {name} of {size}")
        return next(iter(found.values())) if len(found) == 1 else None

    def _confirm(self, term: LossTerm, part: OutputPart) -> OutputDecision | None:
        """The decision where a loss is taken of a part of the output."""
        if term.signature.is_compiled:
            return self._confirm_compiled(term, part)
        if part.signature is None or not term.signature.matches(part.signature):
            return None
        reason = f"{term.loss} in the training step"
        if term.kind != "classes":
            return self._read(term.kind, part, reason)
        axis = term.class_axis((0, *part.shape))
        kind = _class_kind(part, axis)
        if kind is None or (term.operation == "Softmax" and not part.is_dense):
            return None
        return self._read(kind, part, reason)

    def _confirm_compiled(self, term: LossTerm, part: OutputPart) -> OutputDecision | None:
        """The decision where the loss is taken of the result of a compiled function, which hides what it computes."""
        if term.operation != "LogSoftmax" or term.shape is None or term.axis is None or self._matrices != [part]:
            return None
        is_square = len(set(term.shape)) == 1  # as many columns as samples: similarities of samples look the same
        if len(term.shape) != 2 or is_square or term.class_axis((0, *part.shape)) != 1:
            return None
        return self._read("classes", part, f"{term.loss} of a compiled function in the training step")

    def _by_code(self, module: nn.Module) -> OutputDecision:
        """The decision by the names in the training step's code, which is weak evidence."""
        losses = losses_in_code(module)
        matrices = self._matrices
        if losses == {"cross-entropy"} and len(matrices) == 1:
            reason = "the training step's code names cross-entropy and no other loss; its graph does not show the loss"
            return self._read("classes", matrices[0], reason)
        return self._unknown("the training step's graph does not show whether a cross-entropy is taken of {part}")

    def _read(self, kind: str, part: OutputPart, reason: str) -> OutputDecision:
        return OutputDecision(
            kind,
            part.path,
            part.shape,
            reason,
            is_probability=part.is_probability,
            may_be_classes=bool(self._matrices),
        )

    def _unknown(self, reason: str, read: bool = True, kind: str = "unknown") -> OutputDecision:
        """A decision for no kind; the only part that may be meant can still be read by measurements without one."""
        matrices = self._matrices
        class_key = matrices[0].path if len(matrices) > 1 else None
        parts = matrices or list(self.parts)
        described = ", ".join(describe_part(part.path, part.shape) for part in parts) or "the output"
        text = reason.replace("{part}", described)
        part = parts[0] if read and len(parts) == 1 else OutputPart("", ())
        path = part.path if read and len(parts) == 1 else None
        return OutputDecision(
            kind,
            path,
            part.shape,
            text,
            is_probability=part.is_probability,
            may_be_classes=bool(matrices),
            class_key=class_key,
        )

    @property
    def _matrices(self) -> list[OutputPart]:
        return [part for part in self.parts if part.is_matrix]


def _class_kind(part: OutputPart, axis: int | None) -> str | None:
    """The kind of class scores whose classes are along an axis (samples first); None where they cannot be."""
    if part.is_matrix and axis == 1:
        return "classes"
    if part.is_dense and axis == 1:
        return "pixel_classes"
    if part.is_dense and axis == len(part.shape):
        return "token_classes"
    return None


def _metric_tasks(model: nn.Module) -> Iterator[tuple[str, str, int]]:
    """The torchmetrics modules with a task: class name, kind of output, number of classes or labels."""
    for module in model.modules():
        name = type(module).__name__
        if not any(base.__module__.startswith("torchmetrics.") for base in type(module).__mro__):
            continue
        for start, kind, attribute in METRIC_TASKS:
            size = getattr(module, attribute, None)
            if name.startswith(start) and isinstance(size, int):
                yield name, kind, size
