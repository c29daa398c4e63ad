"""The signal vectors σ of every image and layer of a probe, without the receptive fields Ψ.

σ_i is the mean over positions of s_i ⟨v_i, receptive field⟩. The mean of W ⋆ X over positions is W times the mean
receptive field, so that σ = Uᵀ (mean of the layer's output − bias). For the definition see Praggastis, Brown, Marrero,
Purvine, Shapiro and Wang (2022), "The SVD of convolutional weights: A CNN interpretability framework", section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import nn

from lightning_factorlens._validation import check_bool, check_choice
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.linear_calls import LinearCall, LinearCallTracer
from lightning_factorlens.capture.linear_layers import FoundLayers, LinearLayer, find_linear_layers
from lightning_factorlens.hierarchy.layer_names import NOT_RECEIVED, chosen_names
from lightning_factorlens.hierarchy.layer_vectors import VectorCache
from lightning_factorlens.hierarchy.pass_sums import LayerSums
from lightning_factorlens.hierarchy.probe_pass import run_probe
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.results import ProbeSignals, Signals

Route = Literal["output", "field"]


def layer_signals(
    model: nn.Module,
    probe: Any,
    layers: str | Sequence[str] | None = None,
    *,
    forward: Callable[[Any], Any] | None = None,
    route: Route = "output",
    extrema: bool = False,
    cache: VectorCache | None = None,
) -> ProbeSignals:
    """Sends a probe through a model and projects the output of every linear layer on its singular vectors.

    A layer that is called several times in a forward pass has the mean over all positions of all calls. Of a linear
    layer every axis between the first and the last counts as positions, as the tokens of a transformer. The biases are
    left out. Queries, keys and values of ``nn.MultiheadAttention`` and its output projection have signals as well.

    Args:
        model: Any module; it is left as found.
        probe: Images (N, C, H, W), other inputs (N, …), a batch that ``forward`` takes, or a `Probe`, which may hold
            several batches.
        layers: Names of the layers, as `linear_layers` gives them; all unless given.
        forward: Calls the model on the data of a batch; the model itself unless given.
        route: ``"output"``: from the mean of the layer's output, the cheapest. ``"field"``: from the mean receptive
            field of its input, which is the same but for rounding.
        extrema: Whether to find the maxima and minima over positions, too. All positions are then projected.
        cache: Keeps singular vectors between calls, for weights that have not changed.

    Returns:
        Signals by layer. `ProbeSignals.skipped` says why another layer has none.

    Raises:
        ValueError: A name that no layer has, or another ``route``.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2), nn.Dropout())
        >>> signals = layer_signals(model, torch.rand(6, 1, 5, 5))
        >>> [(name, tuple(found.values.shape)) for name, found in signals.items()]
        [('0', (6, 4)), ('3', (6, 2))]
    """
    check_choice("route", route, ("output", "field"))
    check_bool("extrema", extrema)
    samples = Probe.wrap(probe)
    with isolate_model(model), torch.no_grad():
        found = find_linear_layers(model)
        names = chosen_names(model, found, layers)
        sums = _Sums(names, cache or VectorCache(), route, extrema, len(samples))
        tracer = run_probe(model, samples, found, sums.add, forward, sums.begin)
        return _collect(sums, tracer, found, names)


class _Sums:
    """The sums of all layers, pass by pass."""

    def __init__(self, names: set[str] | None, cache: VectorCache, route: Route, extrema: bool, n_samples: int) -> None:
        self.names = names
        self.cache = cache
        self.route = route
        self.extrema = extrema
        self.n_samples = n_samples
        self.layers: dict[str, LayerSums] = {}
        self.batch: Batch | None = None
        self.start = 0

    def begin(self, batch: Batch, start: int) -> None:
        """Prepares for one pass; what an earlier try of the same pass has added is dropped."""
        self.batch = batch
        self.start = start
        for sums in self.layers.values():
            sums.begin(start)

    def add(self, call: LinearCall) -> None:
        """Adds one call."""
        name = call.layer.name
        if self.names is not None and name not in self.names:
            return
        if name not in self.layers:
            vectors = self.cache.vectors(call.layer) if self.extrema else None
            self.layers[name] = LayerSums(call.layer, self.n_samples, self.route, vectors)
            self.layers[name].begin(self.start)
        assert self.batch is not None
        self.layers[name].add(call, self.batch)


def _collect(sums: _Sums, tracer: LinearCallTracer, found: FoundLayers, names: set[str] | None) -> ProbeSignals:
    """The signals of all layers, and the reasons why others have none."""
    signals: dict[str, Signals] = {}
    skipped: dict[str, str] = {}
    for name, reason in found.skipped.items():
        if names is None or name in names:
            skipped[name] = reason
    for layer in _in_order(sums, found):
        if names is not None and layer.name not in names:
            continue
        layer_sums = sums.layers.get(layer.name)
        reason = tracer.reason(layer) if layer_sums is None else layer_sums.problem()
        if layer_sums is None or reason:
            skipped[layer.name] = reason
            continue
        vectors = sums.cache.vectors(layer_sums.layer)
        if len(vectors.s):
            signals[layer.name] = layer_sums.signals(vectors)
        else:
            skipped[layer.name] = _no_vectors(layer_sums.layer)
    for name in sorted((names or set()) - set(signals) - set(skipped)):
        skipped[name] = NOT_RECEIVED
    return ProbeSignals(signals, {name: reason for name, reason in skipped.items() if name not in signals})


def _in_order(sums: _Sums, found: FoundLayers) -> Iterator[LinearLayer]:
    """The listed layers, then parameters that no layer has and that a function was called with."""
    listed = [*found.layers, *found.projections]
    names = {layer.name for layer in listed}
    yield from listed
    for name, layer_sums in sums.layers.items():
        if name not in names:
            yield layer_sums.layer


def _no_vectors(layer: LinearLayer) -> str:
    if not layer.weight.weight.isfinite().all():
        return "its weight holds NaN or infinity"
    return "all singular values of its weight are zero"
