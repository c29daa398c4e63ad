"""How far the signals of singular vectors tell the predicted classes apart; not a default measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from lightning_factorlens._validation import check_int, is_number
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.linear_layers import find_linear_layers
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.concepts.predictions import predicted_classes
from lightning_factorlens.hierarchy import Hierarchy, class_share, hierarchy, significance
from lightning_factorlens.hierarchy.joined_signals import join_signals
from lightning_factorlens.hierarchy.layer_names import chosen_names
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.signals import layer_signals
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.cadence import is_due, keep_count
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.hierarchy_scalars import HIERARCHY_SCALARS, NAME
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.plots.hierarchy_course import hierarchy_course_figure
from lightning_factorlens.results import LayerHierarchies, LayerHierarchy, ProbeSignals, Signals

#: Permutations of the classes behind the nulls.
PERMUTATIONS = 20


@dataclass(frozen=True)
class SemanticHierarchy(Measurement):
    """The hierarchy of the singular vectors of every layer in numbers, and the between-class share of their signals.

    The classes are the model's own predictions. The signals need a forward pass of the probe of their own, and every
    layer the eigenvectors of its weight's smaller Gram matrix; see `FactorLens.signals` and `FactorLens.hierarchy`,
    which give the same numbers. Untrained networks have nodes and classes of vectors, too, in early layers as
    many: these numbers alone are no sign of learning. The between-class share is near 0 while few classes are
    predicted, so that its rise alone is none either: compare networks by the same classes, with `class_share`.

    Praggastis et al. (2022), "The SVD of convolutional weights: a CNN interpretability framework", section 5.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.Tanh())
        >>> lens = FactorLens(model, measurements=[SemanticHierarchy()], outputs="classes")
        >>> record = lens.observe(torch.rand(64, 1, 8, 8))["semantic_hierarchy"]
        >>> 0 < record["1"].class_share < 1
        True

    Attributes:
        every: The signals are measured at the first full observation, and then at every n-th.
        layers: Names of the layers; None for all that have signals.
        q: Quantile of a layer's signals above which a vector is significant for an image.
        p: Share of the images of a class from which a vector is significant for the class.
    """

    every: int = 1
    layers: tuple[str, ...] | None = None
    q: float = 0.9
    p: float = 0.75

    name: ClassVar[str] = NAME
    needs: ClassVar[frozenset[str]] = frozenset({"forward", "class_scores"})
    scalars: ClassVar[tuple[Scalar, ...]] = HIERARCHY_SCALARS
    figures: ClassVar[tuple[FigureSpec, ...]] = (
        FigureSpec(
            "signals_of_singular_vectors",
            hierarchy_course_figure,
            "How much of the signals of each layer's singular vectors lies between the predicted classes, beside "
            "permuted classes.",
            needs_tensors=False,
        ),
    )

    def __post_init__(self) -> None:
        check_int("every", self.every, 1)
        for name, value in (("q", self.q), ("p", self.p)):
            if not is_number(value) or not 0 < value <= 1:
                raise ValueError(f"{name}: must be a number above 0 and at most 1, found {value!r}.")
        if isinstance(self.layers, str) or (self.layers is not None and not self.layers):
            raise ValueError(
                f"layers: must be a tuple with the names of at least one layer, or None for all, found {self.layers!r}."
            )

    def check_model(self, model: nn.Module) -> None:
        """Refuses names that no linear layer of the model has."""
        if self.layers is not None:
            chosen_names(model, find_linear_layers(model), self.layers)

    def measure(self, context: Context) -> LayerHierarchies | None:
        """Measures the layers where that is due."""
        if not is_due(context, self.every):
            return None
        predictions = predicted_classes(context.class_scores)
        signals = self._signals(context)
        reason = _problem(predictions, signals)
        if reason or predictions is None:
            context.note(absence_note(NAME, reason))
            keep_count(context, self.every)  # due again at the next observation
            return None
        labels = predictions.cpu()
        return context.process_group.broadcast_object(lambda: self._record(signals, labels))

    def _signals(self, context: Context) -> ProbeSignals:
        """The signals of all samples, by forward passes of their own."""
        sharded = sharded_parameters(context.model)
        if sharded:
            return ProbeSignals({}, {sharded[0]: "the model's parameters are sharded between processes"})
        cache = context.cache.setdefault(f"{NAME} vectors", VectorCache())

        def measure(samples: Probe, forward: Callable[[Any], Any]) -> ProbeSignals:
            return layer_signals(context.model, samples, self.layers, forward=forward, cache=cache)

        return join_signals(context.map_samples(measure))

    def _record(self, signals: Mapping[str, Signals], predictions: Tensor) -> LayerHierarchies:
        """The numbers, by process 0 for all."""
        found = [hierarchy(significance(layer, self.q), predictions, self.p) for layer in signals.values()]
        layers = [self._numbers(layer, one, predictions) for layer, one in zip(signals.values(), found)]
        # The output's own layer has one direction for every class; the one before it shows what the network has built.
        before_output = found[-2:][0]
        n_classes = len(predictions[predictions >= 0].unique())
        return LayerHierarchies(tuple(layers), n_classes, before_output.record)

    def _numbers(self, signals: Signals, found: Hierarchy, predictions: Tensor) -> LayerHierarchy:
        share = class_share(signals, predictions, PERMUTATIONS)
        null_nodes, null_classes, null_depth = _upper(found.null(PERMUTATIONS).permuted)
        sizes = found.sizes
        return LayerHierarchy(
            layer=signals.layer,
            significant_nodes=sizes.nodes,
            vector_classes=sizes.vector_classes,
            hierarchy_depth=sizes.depth,
            undecided_memberships=found.undecided,
            class_share=share.share,
            null_significant_nodes=null_nodes,
            null_vector_classes=null_classes,
            null_hierarchy_depth=null_depth,
            null_class_share=_upper(share.permuted[:, None])[0] if len(share.permuted) else math.nan,
        )


def _problem(predictions: Tensor | None, signals: ProbeSignals) -> str:
    """Why there is nothing to measure; empty if there is."""
    if predictions is None or not (predictions >= 0).any():
        return "no sample has finite class scores."
    if not signals:
        reasons = [f"{layer!r}: {reason}" for layer, reason in signals.skipped.items()]
        return f"no layer has signals ({'; '.join(reasons[:3]) or 'the model has no linear layer'})."
    for layer, found in signals.items():
        if not found.values.isfinite().all():
            return f"signals of layer {layer!r} are NaN or infinite."
    return ""


def _upper(values: Tensor) -> list[float]:
    """The 95 % quantile of every column, one of its values; shape (n, columns)."""
    found: list[float] = values.double().quantile(0.95, 0, interpolation="higher").tolist()
    return found
