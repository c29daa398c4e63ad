"""The identities of figure 5 of Praggastis et al. (2022), in float32 against receptive fields in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.hierarchy.awkward_layers import AWKWARD_LAYERS
from benchmarks.hierarchy.looped_fields import looped_fields, unfolded
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.capture.linear_layers import LinearLayer, find_linear_layers, linear_layers
from lightning_factorlens.hierarchy import VectorCache, decomposition_panels, projection_maps
from lightning_factorlens.hierarchy.layer_capture import capture_layer
from lightning_factorlens.hierarchy.layer_vectors import LayerVectors
from lightning_factorlens.results import LayerDecomposition

#: Networks of torchvision, and the size of the image.
NETWORKS = {"resnet18": 64, "vgg16": 32, "mobilenet_v2": 64, "vit_b_16": 224}
#: Weights of more entries are not decomposed with ``--quick``.
LARGE = 1 << 23
#: Columns and vectors of a large W that are compared.
COLUMNS = 64
IDENTITIES = ("Ψ", "VᵀΨ", "SVᵀΨ", "U SVᵀΨ = Y", "ReLU(Y + B)", "Uᵀ A", "U S Vᵀ = W", "orthonormal")


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures all layers; the data are not needed."""
    torch.manual_seed(0)
    rows = []
    payload: dict[str, Any] = {}
    for name, (make, shape) in AWKWARD_LAYERS.items():
        model = nn.Sequential(make(), nn.ReLU())
        (layer,) = linear_layers(model)
        images = torch.randn(2, *shape)
        errors = dict.fromkeys(IDENTITIES, 0.0) | layer_errors(model, images, layer, images[:1])
        payload[name] = errors
        rows.append((name, errors))
    awkward = max(max(errors.values()) for _, errors in rows)
    n_layers = 0
    networks = 0.0
    left_out = []
    for name, size in NETWORKS.items():
        errors, n_measured, skipped = _network_errors(name, size, quick)
        payload[name] = {"errors": errors, "layers": n_measured, "skipped": skipped}
        rows.append((f"{name}, {n_measured} layers", errors))
        n_layers += n_measured
        left_out.append(skipped)
        networks = max(networks, *errors.values())
    cells = [(name, *[f"{errors[identity]:.1e}" for identity in IDENTITIES]) for name, errors in rows]
    text = (
        "## Identities\n\n`python -m benchmarks.hierarchy --parts identities`. Largest difference from receptive "
        "fields that a loop takes in float64, relative to the largest entry; the model runs in float32. A: what "
        "follows the layer. The last two columns say that U, S and V are a singular value decomposition.\n\n"
        + markdown_table(("layers", *IDENTITIES), cells)
    )
    names = [f"{name} of {network}" for network, layers in zip(NETWORKS, left_out) for name in layers]
    if names:
        text += f"\n\nLeft out with `--quick`: {', '.join(names)}."
    figures = [
        Figure("hierarchy_identity_error_awkward_layers", awkward, 1e-5, at_most=True),
        Figure("hierarchy_identity_error_networks", networks, 1e-5, at_most=True),
        Figure("hierarchy_identity_layers", n_layers, n_layers + sum(map(len, left_out))),
    ]
    return Measured(text, payload, figures)


def _network_errors(name: str, size: int, quick: bool) -> tuple[dict[str, float], int, dict[str, str]]:
    """The largest errors over all layers of a network with random weights, their number, and what is left out."""
    import torchvision

    model = getattr(torchvision.models, name)(weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():  # the head of a ViT starts at zero
            nn.init.normal_(module.weight, std=0.02)
    image = torch.randn(1, 3, size, size)
    found = find_linear_layers(model)
    largest = dict.fromkeys(IDENTITIES, 0.0)
    skipped: dict[str, str] = dict(found.skipped)
    n_measured = 0
    for layer in (*found.layers, *found.projections):
        if quick and layer.weight.weight.numel() > LARGE:
            skipped[layer.name] = "left out with --quick"
            continue
        n_measured += 1
        for identity, error in layer_errors(model, image, layer).items():
            largest[identity] = max(largest[identity], error)
    return largest, n_measured, skipped


def layer_errors(
    model: nn.Module, images: Tensor, layer: LinearLayer, inputs: Tensor | None = None
) -> dict[str, float]:
    """The relative error of every identity for one layer and the first image.

    Args:
        model: The model.
        images: Its input.
        layer: The layer.
        inputs: What the layer receives, before its padding; what the panels say unless given.
    """
    cache = VectorCache()
    vectors = cache.vectors(layer)
    module = _module_of(layer)
    W = unfolded(module)
    if layer.name.endswith("out_proj"):  # the attention does not tell its input
        maps = projection_maps(model, images, layer.name, [0], range(len(vectors.s)), cache=cache).maps[0]
        captured = capture_layer(model, images, layer.name, [0], cache=cache)
        rebuilt = vectors.all.U[0][:, vectors.is_kept[0]] @ _flat(maps).double()
        errors = {"U SVᵀΨ = Y": _error(rebuilt, _flat(captured.outputs[0]))}
    else:
        panels = decomposition_panels(model, images, layer.name, cache=cache)
        received = panels.inputs[None] if inputs is None else inputs
        grid = tuple(panels.outputs.shape[1:])
        fields = looped_fields(module, received.double(), grid)[0]
        errors = _panel_errors(panels, vectors, module, W, fields)
    return errors | _decomposition_errors(vectors, W)


def _panel_errors(
    panels: LayerDecomposition, vectors: LayerVectors, module: Any, W: Tensor, fields: Tensor
) -> dict[str, float]:
    products = W @ fields
    Y = products.flatten(0, 1)
    Ut = vectors.all.U.mT
    signals = (Ut @ products)[vectors.is_kept]
    rebuilt = []
    for group, is_kept in enumerate(vectors.is_kept):
        part = _flat(panels.signals)[panels.group == group].double()
        rebuilt.append(vectors.all.U[group][:, is_kept] @ part)
    activation = _flat(panels.activation).double()
    projected = (Ut @ activation.unflatten(0, (len(W), -1)))[vectors.is_kept]
    errors = {
        "Ψ": _error(_flat(panels.fields), fields.flatten(0, 1)),
        "VᵀΨ": _error(_flat(panels.projections), signals / panels.s[:, None]),
        "SVᵀΨ": _error(_flat(panels.signals), signals),
        "U SVᵀΨ = Y": max(_error(torch.cat(rebuilt), Y), _error(_flat(panels.outputs), Y)),
        "Uᵀ A": _error(_flat(panels.projected_activation), projected),
    }
    if panels.activation_name == "ReLU(Y + B)":
        bias = 0.0 if module.bias is None else module.bias.detach().double()[:, None]
        errors["ReLU(Y + B)"] = _error(activation, (Y + bias).relu())
    return errors


def _decomposition_errors(vectors: LayerVectors, W: Tensor) -> dict[str, float]:
    """Whether U S Vᵀ is W and U and V are orthonormal; some columns and vectors speak for a large W."""
    columns = torch.arange(W.shape[2])
    if W.numel() > LARGE:
        columns = torch.linspace(0, W.shape[2] - 1, COLUMNS).long()
    rebuilt = vectors.all.U @ (vectors.all.U.mT @ W[:, :, columns])
    first = slice(COLUMNS if W.numel() > LARGE else None)
    is_kept = vectors.is_kept[:, first]
    U = vectors.all.U[:, :, first] * is_kept[:, None]
    scaled = U.mT @ W
    s = vectors.all.s[:, first].where(is_kept, 1.0)
    V_gram = scaled @ scaled.mT / (s[:, :, None] * s[:, None])
    identity = torch.diag_embed(is_kept.double())
    orthonormal = max(float((gram - identity).abs().max()) for gram in (U.mT @ U, V_gram))
    return {"U S Vᵀ = W": _error(rebuilt, W[:, :, columns]), "orthonormal": orthonormal}


def _module_of(layer: LinearLayer) -> Any:
    """The layer's module; for a projection of an attention, a linear layer with its weight."""
    module: Any = layer.module
    if not isinstance(module, nn.MultiheadAttention):
        return module
    d, c = layer.weight.weight.shape
    linear = nn.Linear(c, d)
    linear.weight.data.copy_(layer.weight.weight)
    assert layer.bias is not None
    linear.bias.data.copy_(layer.bias)
    return linear


def _flat(values: Tensor) -> Tensor:
    """One axis of positions, also where there is none."""
    return values.reshape(len(values), -1)


def _error(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest entry."""
    scale = float(expected.abs().max()) or 1.0
    return float((found.double() - expected.double()).abs().max()) / scale
