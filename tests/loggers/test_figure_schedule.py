"""When figures are drawn, and from what."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from observations import MEASUREMENTS
from PIL import Image

from lightning_factorlens.loggers.figure_schedule import FigureSchedule, numbered_figures, render_figures
from lightning_factorlens.measurements import Consistency, FigureSpec, RankAtError, RootMeanSquare

FIGURES = numbered_figures(MEASUREMENTS)


class Drawn:
    """A figure that remembers the histories that it was drawn from."""

    def __init__(self):
        self.histories = []

    def __call__(self, history):
        self.histories.append(list(history))
        return Figure(figsize=(1, 1))

    @property
    def epochs(self):
        return [history[-1].epoch for history in self.histories]


def schedule(every_n=1, history=None):
    drawn = Drawn()
    return FigureSchedule({"p": FigureSpec("p", drawn, "help")}, every_n, history), drawn


def drawn_now(drawing):
    return {} if drawing is None else drawing()


def test_names_are_numbered_in_the_order_of_the_measurements():
    assert list(FIGURES) == [
        "dashboard", "1_history", "2_rank_curve", "3_latent_images", "4_layer_factors", "5_similarity", "6_alpha", "7_spectra"
    ]  # fmt: skip


def test_a_figure_that_two_measurements_declare_is_drawn_once():
    assert list(numbered_figures([Consistency(), RankAtError()])) == ["dashboard", "1_history"]
    assert numbered_figures([RootMeanSquare()]) == {}


@pytest.mark.parametrize(("every_n", "epochs"), [(0, []), (1, [0, 1, 2, 3]), (2, [0, 2, 3]), (3, [0, 3])])
def test_figures_are_due_first_at_every_nth_and_last(observe, every_n, epochs):
    figures, drawn = schedule(every_n)
    images = [drawn_now(figures.add(observe(epoch))) for epoch in range(4)]
    flushed = drawn_now(figures.flush())
    assert drawn.epochs == epochs
    assert [bool(found) for found in images].count(True) + bool(flushed) == len(epochs)
    assert figures.flush() is None
    assert drawn.epochs == epochs


def test_the_last_observation_of_a_history_is_whole_and_the_others_are_without_tensors(observe):
    figures, drawn = schedule()
    observations = [observe(0), observe(1), observe(2)]
    for o in observations:
        drawn_now(figures.add(o))
    *earlier, last = drawn.histories[-1]
    assert last is observations[-1]
    assert [o.epoch for o in earlier] == [0, 1]
    assert all(o.factorization is None and o.inputs is None for o in earlier)


def test_history_keeps_no_tensors(observe):
    figures, drawn = schedule(0)
    assert figures.add(observe()) is None
    (kept,) = figures.history
    assert (kept.inputs, kept.factorization) == (None, None)
    assert all(s.cosine.numel() == 0 for s in kept["neuron_similarity"].layers)
    assert all(s.eigenvalues.numel() == 0 for s in kept["weight_spectra"].layers)
    figures.clear()
    assert (figures.history, figures.last, figures.flush()) == ([], None, None)
    assert drawn.histories == []


def test_a_history_that_is_given_is_read_and_not_appended_to(observe):
    history = [observe(0).without_tensors(), observe(1).without_tensors()]  # of a resumed run
    figures, drawn = schedule(2, history)
    for epoch in (2, 3):
        o = observe(epoch)
        history.append(o.without_tensors())
        drawn_now(figures.add(o))
    assert drawn.epochs == [2]
    assert [o.epoch for o in drawn.histories[0]] == [0, 1, 2]
    drawn_now(figures.flush())
    assert [o.epoch for o in drawn.histories[1]] == [0, 1, 2, 3]
    figures.clear()
    assert len(history) == 4  # it belongs to the caller


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="figures_every_n"):
        FigureSchedule({}, -1)


def test_figures_become_pixels(observe):
    def draw(history):
        figure = Figure(figsize=(2, 1), dpi=50, facecolor="#336699")
        file = BytesIO()
        figure.savefig(file, format="png")
        expected.append(np.asarray(Image.open(file).convert("RGBA")))
        return figure

    expected = []
    figures = {"drawn": FigureSpec("drawn", draw, "help"), "none": FigureSpec("none", lambda history: None, "help")}
    images = render_figures(figures, [observe()])
    assert list(images) == ["drawn"]
    assert images["drawn"].shape == (50, 100, 4)
    np.testing.assert_array_equal(images["drawn"], expected[0])
