"""What a prompt, a terminal and a notebook show of observations."""

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.results import History, LayerInfo
from lightning_factorlens.results._text import shorten
from lightning_factorlens.results.layer_table import NO_LAYER, LayerTable
from lightning_factorlens.stopping import Decision

LONG = "backbone.encoder.stages.3.blocks.11.mlp.activation_function-2"


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
    assert parts[:4] == [
        "Observation of epoch 3",
        "consistency 0.4375",
        "rank_at_30pct 9.25",
        "rank_at_12p5pct > 32",
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


def test_showing_an_observation_imports_nothing_heavy():
    code = (
        "import sys, lightning_factorlens.lens as l, torch\n"
        "loaded = lambda name: name in sys.modules\n"
        "print([m for m in sys.modules if m.startswith('lightning_factorlens.loggers')])\n"
        "lens = l.FactorLens(torch.nn.Sequential(torch.nn.ReLU()), ranks=(1, 2))\n"
        "observation = lens.observe(torch.rand(4, 1, 8, 8))\n"
        "repr(observation), repr(lens), observation._repr_html_()\n"
        "print([m for m in ('matplotlib', 'lightning', 'tensorboard') if loaded(m)])\n"
        "from lightning_factorlens.plots import observation_figure\n"
        "print(loaded('matplotlib')); observation_figure(observation)\n"
        "print(loaded('matplotlib'), loaded('matplotlib.pyplot'))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "[]", "False", "True False"]


@pytest.mark.parametrize("width", [9, 10, 40])
def test_shortened_names_have_the_given_width(width):
    assert len(shorten(LONG, width)) == width
    assert shorten("short", width) == "short"


def test_notebooks_show_histories_layers_and_decisions(observe):
    history = History([observe(k) for k in range(25)])
    text = [data for _, data in parsed(history._repr_html_())]
    assert text[:4] == ["25 observations, the last 20", "epoch", "step", "consistency"]
    assert text.count("0.4375") == 20
    assert "<b>1 observation</b>" in History([observe()])._repr_html_()
    assert len(history._repr_html_()) < 10_000
    layers = [LayerInfo(f"<{k}>", "ReLU", (4,), 0.0, k < 9, "non-negative" if k < 9 else "signed") for k in range(12)]
    found = parsed(LayerTable(layers)._repr_html_())
    assert found[0][1] == "9 of 12 tensors are observed"
    closed = [data for tags, data in found if "summary" in tags]
    assert closed == ["all 9 observed tensors", "skipped: signed (3)"]
    assert {f"<{k}>" for k in range(12)} <= {data for tags, data in found if "details" in tags}
    few = parsed(LayerTable(layers[:1])._repr_html_())
    assert not any("details" in tags for tags, _ in few)
    assert NO_LAYER in parsed(LayerTable([])._repr_html_())[0][1]
    shown = parsed(Decision(True, 7, 0.5, "no lower <value> in 10 epochs")._repr_html_())
    assert [data for _, data in shown] == ["stop", ", best epoch 7, score 0.5", "no lower <value> in 10 epochs"]
    shown = parsed(OutputDecision("classes", "logits", (3,), "outputs= says so")._repr_html_())
    assert shown[0][1] == "part 'logits' of the output, 3 a sample, is read as: classes"
