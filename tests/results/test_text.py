"""What a prompt, a terminal and a notebook show of observations, lenses and layers."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.results import LayerInfo
from lightning_factorlens.results._text import layer_table, shorten

LONG = "backbone.encoder.stages.3.blocks.11.mlp.activation_function-2"
LAYERS = (
    LayerInfo("stem", "Conv2d", (16, 8, 8), -2.25, False, "has entries below zero"),
    LayerInfo("features.1", "ReLU", (16, 8, 8), 0.0, True, "non-negative"),
    LayerInfo(LONG, "ReLU6", (10,), 0.0, True, "non-negative"),
)


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append((tuple(self.open), data))


def parsed(html):
    cells = Cells()
    cells.feed(html)
    assert cells.open == []
    return cells.text


def test_text_has_the_curve_beside_that_of_the_svd(observe):
    o = observe(3, notes=("factorisation: every rank has converged",))
    lines = repr(o).splitlines()
    parts = lines[0].split(" | ")
    assert parts[:6] == [
        "Observation of epoch 3",
        "consistency 0.4375",
        "rank_at_30pct 9.25",
        "rank_at_30pct_is_lower_bound 0",
        "rank_at_12p5pct 32",
        "rank_at_12p5pct_is_lower_bound 1",
    ]
    assert {"effective_rank 20.5", "mean_alpha 3", "overhead 0.0625"} < set(parts)
    assert parts[-2] == "total seconds 1.75"
    rows = [line.split() for line in lines[3:9]]
    curve, svd = o["reconstruction_error"]["total"], o["svd_error"]["total"]
    assert [int(r[0]) for r in rows] == list(curve.ranks)
    assert [float(r[1]) for r in rows] == pytest.approx(curve.rel_error, abs=1e-4)
    assert [float(r[2]) for r in rows] == pytest.approx(svd.rel_error, abs=1e-4)
    assert [float(r[3]) for r in rows] == pytest.approx(curve.rmse, rel=1e-3)
    assert len({len(line) for line in lines[1:9]}) == 1  # aligned
    assert lines[9] == "- factorisation: every rank has converged"
    assert repr(o).isascii()


def test_html_has_the_same_numbers_and_escapes_names(observe):
    o = observe(notes=("a <script> & more",))
    text = parsed(o._repr_html_())
    body = [t for where, t in text if where[-1:] == ("td",)]
    assert body == [cell for line in repr(o).splitlines()[3:9] for cell in line.split()]
    assert "a <script> & more" in [t for _, t in text]


def test_an_observation_with_hardly_any_record_can_be_shown(observe):
    o = replace(observe(0), inputs=None, factorization=None)
    bare = replace(o, records={"reconstruction_error": o["reconstruction_error"]})
    lines = repr(bare).splitlines()
    assert lines[0] == "Observation of epoch 0"
    assert [line.split()[2] for line in lines[3:9]] == ["-"] * 6
    parsed(bare._repr_html_())
    empty = replace(o, records={})
    assert repr(empty) == "Observation of epoch 0"
    parsed(empty._repr_html_())


def test_a_lens_shows_its_model_and_its_layers():
    lens = FactorLens(nn.Sequential(nn.Linear(2, 2)), LensOptions(ranks=(1, 2)))
    assert repr(lens) == "FactorLens on Sequential, ranks 1, 2; layers are selected at the first observation"
    lens.layer_table = [LayerInfo("<b>", "ReLU", (2,), 0.0, True, "non-negative")]
    assert repr(lens).splitlines()[3].split() == ["*", "<b>", "ReLU", "2", "0", "kept", "non-negative"]
    assert any("<b>" in text for _, text in parsed(lens._repr_html_()))


def test_showing_an_observation_imports_nothing_heavy():
    code = (
        "import sys, lightning_factorlens.lens as l, torch\n"
        "loaded = lambda name: name in sys.modules\n"
        "print([m for m in sys.modules if m.startswith('lightning_factorlens.loggers')])\n"
        "lens = l.FactorLens(torch.nn.Sequential(torch.nn.ReLU()), l.LensOptions(ranks=(1, 2)))\n"
        "observation = lens.observe(torch.rand(4, 1, 8, 8))\n"
        "repr(observation), repr(lens), observation._repr_html_()\n"
        "print([m for m in ('matplotlib', 'lightning', 'tensorboard') if loaded(m)])\n"
        "from lightning_factorlens.plots import observation_figure\n"
        "print(loaded('matplotlib')); observation_figure(observation)\n"
        "print(loaded('matplotlib'), loaded('matplotlib.pyplot'))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "[]", "False", "True False"]


def test_selected_layers_come_first_and_are_counted():
    lines = layer_table(LAYERS).splitlines()
    assert lines[0].split() == ["name", "op", "shape", "min", "reason"]
    assert lines[2].split() == ["*", "features.1", "ReLU", "16x8x8", "0", "kept", "non-negative"]
    assert lines[4].split()[:5] == ["stem", "Conv2d", "16x8x8", "-2.25", "skipped"]
    assert lines[-1] == "kept 2 of 3 tensors, 1,034 features a sample"
    assert layer_table(LAYERS).isascii()


def test_columns_are_aligned():
    lines = layer_table(LAYERS).splitlines()[:-1]
    assert len({line.find("non-negative") for line in lines if "non-negative" in line}) == 1
    assert lines[0].index("reason") == lines[2].index("non-negative") == lines[4].index("has entries")
    assert all(line == line.rstrip() for line in lines)


def test_long_names_keep_both_ends():
    row = layer_table(LAYERS).splitlines()[3].split()[1]
    head, tail = row.split("...")
    assert len(row) == 40
    assert LONG.startswith(head)
    assert LONG.endswith(tail)


@pytest.mark.parametrize("width", [9, 10, 40])
def test_shortened_names_have_the_given_width(width):
    assert len(shorten(LONG, width)) == width
    assert shorten("short", width) == "short"


def test_a_table_without_layers():
    *_, note = layer_table([]).splitlines()
    assert note.startswith("no layer is observed, only inputs and outputs: ") and "LensOptions(layers=...)" in note
