"""What `FactorLens` finds out about the singular vectors of the weights: their signals, and the hierarchy of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor

from lightning_factorlens._validation import check_type
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.concepts.predictions import predicted_classes
from lightning_factorlens.hierarchy import Hierarchy, exemplary_images, hierarchy, significance
from lightning_factorlens.hierarchy.joined_signals import join_signals
from lightning_factorlens.hierarchy.signals import layer_signals
from lightning_factorlens.lens.selection_methods import SelectionMethods
from lightning_factorlens.results import Exemplars, ProbeSignals, Signals


class HierarchyMethods(SelectionMethods):
    """The methods of `FactorLens` for the singular vectors of the weights.

    The docstring of `FactorLens` describes the attributes.
    """

    def signals(self, probe: Any, layers: str | Sequence[str] | None = None, *, extrema: bool = False) -> ProbeSignals:
        """How strongly every sample excites every singular vector of every layer, with one forward pass of the probe.

        The signal of vector i is s_i ⟨v_i, x⟩, x being the input of a linear layer, or the mean over positions for the
        receptive fields of a convolution (Praggastis et al., 2022, section 4.3). `state` is not changed.

        Args:
            probe: See `observe`.
            layers: Names of the layers, one or several; None for every convolution and linear layer.
            extrema: Whether to also find the maximum and the minimum over positions, which costs more.

        Returns:
            The signals by layer; ``skipped`` says why another layer has none.

        Raises:
            ValueError: A name that no layer has, or sharded parameters.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
            >>> signals = FactorLens(model).signals(torch.rand(32, 1, 8, 8))
            >>> {layer: tuple(found.values.shape) for layer, found in signals.items()}
            {'1': (32, 16), '3': (32, 3)}
        """
        self._check_whole("signals")
        runner = self._runner()

        def measure(samples: Probe, forward: Callable[[Any], Any]) -> ProbeSignals:
            return layer_signals(self.model, samples, layers, forward=forward, extrema=extrema)

        return join_signals(runner.map_samples(self._samples(probe), measure))

    def hierarchy(
        self,
        probe: Any,
        layer: str,
        classes: Tensor | Sequence[int | str] | None = None,
        q: float = 0.9,
        p: float = 0.75,
        *,
        scope: str = "layer",
        sides: str = "both",
        names: Sequence[str] | None = None,
    ) -> Hierarchy:
        """Which singular vectors of a layer are significant for which classes, and their order by inclusion.

        Praggastis et al. (2022), "The SVD of convolutional weights: a CNN interpretability framework", section 5, with
        an interval for every membership. Its sizes alone are no sign of learning: compare them with
        ``Hierarchy.null()``, ``Hierarchy.stability()`` and an untrained network. `state` is not changed.

        Args:
            probe: See `observe`.
            layer: Name of the layer.
            classes: The class of each sample: whole numbers or words, −1 for none. They are names, and have no
                influence on the signals. None for those that the model predicts, with a forward pass of their own.
            q: Quantile of the layer's signals above which a vector is significant for a sample.
            p: Share of the samples of a class from which a vector is significant for the class.
            scope: Whether the quantile is that of the whole ``"layer"``, as in the paper, or of each ``"vector"``.
            sides: ``"both"`` sides of every vector, whose signs are arbitrary, or ``"one"``, as in the paper.
            names: A word for each class number; None for the numbers.

        Returns:
            The hierarchy.

        Raises:
            ValueError: As `signals` raises it; a layer without signals; an output that is not read as class scores,
                where ``classes`` is None; or another argument that is none of the above.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
            >>> lens = FactorLens(model, outputs="classes")
            >>> lens.hierarchy(torch.rand(32, 1, 8, 8), "1").sizes.depth > 0
            True
        """
        _check_layer_name(layer)
        samples = self._samples(probe)
        signals = self.signals(samples, layer)
        significant = significance(self._layer_of(signals, layer), q, scope, sides)
        labels = self._predictions(samples) if classes is None else classes
        return hierarchy(significant, labels, p, names=names)

    def exemplars(self, probe: Any, layer: str, count: int = 9, by: Literal["mean", "extremum"] = "mean") -> Exemplars:
        """The samples with the largest and the smallest signal of every singular vector of a layer.

        Args:
            probe: See `observe`.
            layer: Name of the layer.
            count: Number of samples on each side.
            by: See `exemplary_images`.

        Raises:
            ValueError: As `signals` and `exemplary_images` raise it.
        """
        _check_layer_name(layer)
        signals = self.signals(probe, layer, extrema=by == "extremum")
        return exemplary_images(self._layer_of(signals, layer), count, by)

    def _layer_of(self, signals: ProbeSignals, layer: str) -> Signals:
        """The signals of one layer.

        Raises:
            ValueError: It has none.
        """
        if layer not in signals:
            raise ValueError(f"layer: {layer!r} has no signals: {signals.skipped.get(layer, 'it was not called')}.")
        return signals[layer]

    def _predictions(self, samples: Probe) -> Tensor:
        """The predicted class of every sample, shape (N,)."""
        self._fits_layers(samples)  # decides how the output is read
        runner = self._runner()
        runner.decision = self.output_decision
        predictions = predicted_classes(runner.capture(samples, ())[0].outputs)
        if predictions is None:
            raise ValueError(
                "classes: the model's output is not read as class scores, so there are no predictions. If it is, pass "
                "outputs='classes' to FactorLens; else give one class for each sample."
            )
        return predictions.cpu()


def _check_layer_name(layer: str) -> None:
    check_type("layer", layer, str, "pass the name of one layer")
