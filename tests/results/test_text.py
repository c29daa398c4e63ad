"""What a prompt and a notebook show."""

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.results import LayerInfo


def test_text_has_the_curve_beside_its_floor(observe):
    o = observe(3, notes=("factorisation: every rank came to rest",))
    lines = repr(o).splitlines()
    assert lines[0].startswith("Observation of epoch 3 | rank@30% 9.2 | rank@12.5% > 32 | effective rank 20.5 | cons")
    assert lines[0].endswith("mean alpha 3.00 | 1.75 s (6.2% of the time)")
    rows = [line.split() for line in lines[3:9]]
    curve, floor = o.curves["total"], o.floors["total"]
    assert [int(r[0]) for r in rows] == list(curve.ranks)
    assert [float(r[1]) for r in rows] == pytest.approx(curve.rel_error, abs=1e-4)
    assert [float(r[2]) for r in rows] == pytest.approx(floor.rel_error, abs=1e-4)
    assert [float(r[3]) for r in rows] == pytest.approx(curve.rmse, rel=1e-3)
    assert len({len(line) for line in lines[1:9]}) == 1  # aligned
    assert lines[9] == "- factorisation: every rank came to rest"


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


def test_html_has_the_same_numbers_and_escapes_names(observe):
    o = observe(notes=("a <script> & more",))
    text = parsed(o._repr_html_())
    body = [t for where, t in text if where[-1:] == ("td",)]
    assert body == [cell for line in repr(o).splitlines()[3:9] for cell in line.split()]
    assert ("a <script> & more") in [t for _, t in text]


def test_an_observation_of_next_to_nothing_can_be_shown(observe):
    bare = observe(
        0, curves={"total": observe().curves["total"]}, floors={}, required_ranks=(), effective_rank={}, rms={},
        consistency=None, spectra=(), alpha=None, seconds={}, share=None, images=None, factorization=None, similarity=(),
    )  # fmt: skip
    assert repr(bare).splitlines()[0] == "Observation of epoch 0"
    parsed(bare._repr_html_())
    right = bare.plot().axes[1]
    assert right.texts[0].get_text() == "no layer has an α"


def test_the_figure_shows_the_numbers(observe):
    o = observe()
    figure = o.plot()
    left, right = figure.axes
    lines = {line.get_gid(): line for line in left.lines}
    assert list(lines["current"].get_ydata()) == list(o.curves["total"].rel_error)
    assert list(lines["floor"].get_ydata()) == list(o.floors["total"].rel_error)
    bars = {round(p.get_x(), 2): p.get_height() for p in right.patches if p.get_height()}
    assert bars == {2.5: 1, 3.5: 1, 4.0: 1}
    assert right.lines[0].get_xdata()[0] == pytest.approx(np.mean([2.5, 3.5, 4.0]))
    assert "3 layers, 1 without" in right.get_title(loc="left")
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_a_wild_alpha_stands_in_the_last_bar(observe, law):
    o = observe(spectra=(law("a", 2.5), law("b", 60.0)))
    right = o.plot().axes[1]
    assert {round(p.get_x(), 2) for p in right.patches if p.get_height()} == {2.5, 9.5}
    assert "9.5 and above" in right.get_xlabel()


def test_a_lens_shows_its_model_and_its_layers():
    lens = FactorLens(nn.Sequential(nn.Linear(2, 2)), LensOptions(ranks=(1, 2)))
    assert repr(lens) == "FactorLens on Sequential, ranks 1, 2; layers are chosen at the first look"
    lens.layer_table = [LayerInfo("<b>", "ReLU", (2,), 0.0, True, "non-negative")]
    assert repr(lens).splitlines()[3].split() == ["*", "<b>", "ReLU", "2", "0", "kept", "non-negative"]
    assert any("<b>" in text for _, text in parsed(lens._repr_html_()))


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, lightning_factorlens.lens as l, torch;"
        "print([m for m in sys.modules if m.startswith('lightning_factorlens.loggers')]);"
        "lens = l.FactorLens(torch.nn.Sequential(torch.nn.ReLU()), l.LensOptions(ranks=(1, 2)));"
        "seen = lens.observe(torch.rand(4, 1, 8, 8)); repr(seen), repr(lens), seen._repr_html_();"
        "print([m for m in ('matplotlib', 'lightning', 'tensorboard') if m in sys.modules]);"
        "seen.plot(); print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "[]", "True False"]
