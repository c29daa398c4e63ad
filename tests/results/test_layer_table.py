"""The table of layers is short in a terminal whatever the network, and whole on request."""

from html import escape

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.results import LayerInfo
from lightning_factorlens.results.layer_table import MAX_KEPT, NO_LAYER, LayerTable, short_layer_table

LONG = "backbone.encoder.stages.3.blocks.11.mlp.activation_function-2"
LAYERS = LayerTable(
    (
        LayerInfo("stem", "Conv2d", (16, 8, 8), -2.25, False, "signed"),
        LayerInfo("features.1", "ReLU", (16, 8, 8), 0.0, True, "non-negative"),
        LayerInfo("body.0", "ReLU", (16, 8, 8), 0.0, False, "represented by features.1"),
        LayerInfo("body.1", "ReLU", (16, 8, 8), 0.0, False, "represented by head"),
        LayerInfo("body", "Sequential", (10,), 0.0, False, "container; its parts have rows of their own"),
        LayerInfo(LONG, "ReLU6", (10,), 0.0, True, "non-negative"),
    )
)


def network(n_kept, n_reasons):
    layers = []
    for k in range(n_kept):
        layers.append(LayerInfo(f"layer{k}", "ReLU", (4,), 0.0, True, "non-negative"))
    for k in range(n_reasons):
        layers.append(LayerInfo(f"conv{k}", "Conv2d", (4,), -1.0, False, f"reason number {k}"))
    return LayerTable(layers)


def test_the_short_table_has_the_kept_layers_and_counts_the_others_by_reason():
    lines = short_layer_table(LAYERS, "lens.layer_table").splitlines()
    assert lines[0] == "2 of 6 tensors are observed, 1,034 features a sample:"
    assert lines[1].split() == ["name", "op", "shape", "min", "reason"]
    assert lines[3].split() == ["features.1", "ReLU", "16x8x8", "0", "non-negative"]
    assert len(lines) == 6
    assert lines[-1] == (
        "skipped: represented by another (2), signed (1), container (1); print(lens.layer_table) shows all rows"
    )


@pytest.mark.parametrize("n_kept", [1, 6, 7, 300])
@pytest.mark.parametrize("n_reasons", [0, 3, 40])
def test_the_short_table_is_bounded_on_any_network(n_kept, n_reasons):
    lines = short_layer_table(network(n_kept, n_reasons), "lens.layer_table").splitlines()
    assert len(lines) <= MAX_KEPT + 4
    if n_kept > MAX_KEPT:
        assert [line.split()[0] for line in lines[3:6]] == ["layer0", "layer1", "layer2"]
        assert lines[6] == f"... {n_kept - 5} more"
        assert lines[8].split()[0] == f"layer{n_kept - 1}"
    hides_rows = n_reasons > 0 or n_kept > MAX_KEPT
    assert lines[-1].endswith("print(lens.layer_table) shows all rows") == hides_rows


def test_many_reasons_are_counted_together():
    assert short_layer_table(network(1, 40), "lens.layer_table").splitlines()[-1] == (
        "skipped: reason number 0 (1), reason number 1 (1), reason number 2 (1), reason number 3 (1), reason number 4 (1), "
        "other reasons (35); print(lens.layer_table) shows all rows"
    )


def test_the_whole_table_has_every_layer_and_the_kept_ones_first():
    lines = str(LAYERS).splitlines()
    assert lines[2].split() == ["*", "features.1", "ReLU", "16x8x8", "0", "kept", "non-negative"]
    assert lines[4].split() == ["stem", "Conv2d", "16x8x8", "-2.25", "skipped", "signed"]
    assert lines[5].split()[-3:] == ["represented", "by", "features.1"]
    assert len(lines) == 2 + len(LAYERS)
    assert lines[0].index("reason") == lines[2].index("non-negative") == lines[4].index("signed")
    assert all(line == line.rstrip() for line in lines)


def test_long_names_keep_both_ends():
    for text in (str(LAYERS), short_layer_table(LAYERS, "lens.layer_table")):
        (name,) = [word for word in text.split() if "..." in word]
        head, tail = name.split("...")
        assert len(name) == 40
        assert LONG.startswith(head)
        assert LONG.endswith(tail)
        assert text.isascii()


def test_a_network_without_a_layer_to_observe_has_advice():
    text = short_layer_table(network(0, 1), "lens.layer_table")
    assert text.startswith("no layer is observed, only inputs and outputs: ")
    assert "LensOptions(layers=...)" in text
    assert short_layer_table([], "lens.layer_table") == NO_LAYER


def test_a_lens_shows_its_model_and_its_layers():
    lens = FactorLens(nn.Sequential(nn.Linear(2, 2)), LensOptions(ranks=(1, 2)))
    assert repr(lens) == "FactorLens on Sequential, ranks 1, 2; layers are selected at the first observation"
    assert str(lens.layer_table) != ""
    lens.layer_table = LayerTable([LayerInfo("<b>", "ReLU", (2,), 0.0, True, "non-negative")])
    assert repr(lens).splitlines()[4].split() == ["<b>", "ReLU", "2", "0", "non-negative"]
    assert escape("<b>") in lens._repr_html_()
    assert "<b>  " not in lens._repr_html_().partition("<pre>")[2]


def test_the_expression_that_the_lens_names_shows_the_whole_table():
    lens = FactorLens(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), LensOptions(ranks=(1, 2)))
    lens.observe(torch.rand(4, 2))
    assert "print(lens.layer_table)" in repr(lens)
    assert len(str(lens.layer_table).splitlines()) == 2 + len(lens.layer_table)
