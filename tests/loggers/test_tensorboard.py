"""What TensorBoard reads back: scalars, layout, histograms, figures."""

import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from lightning.pytorch import loggers
from observations import MEASUREMENTS
from PIL import Image
from plain_logger import PlainLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers import figure_schedule
from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.figure_schedule import numbered_figures, render_figures
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.loggers.tensorboard import TensorBoardMediaLogger
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.plots.style import soften

CONFIG = "custom_scalars__config__"
NAMES = ("2_rank_curve", "3_latent_images", "4_layer_factors", "5_similarity", "6_alpha", "7_spectra")
FIGURES = {"Dashboard/factorlens"} | {f"factorlens_figures/{name}" for name in (*NAMES, "1_history")}


@pytest.fixture
def logger(tmp_path):
    logger = PlainLogger(tmp_path)
    yield logger
    logger.experiment.close()


def make_sink(*to, figures_every_n=0, layout=True, detail="all", **options):
    figures = TensorBoardOptions(layout, figures_every_n)
    return LoggerSink(to, MEASUREMENTS, options=figures, detail=detail, **options)


def all_scalars(observation):
    return monitored_scalars(observation, MEASUREMENTS) | other_scalars(observation, MEASUREMENTS)


def read(logger):
    logger.experiment.flush()
    sizes = dict.fromkeys(("scalars", "histograms", "images", "tensors"), 0)
    return EventAccumulator(str(logger.experiment.log_dir), size_guidance=sizes).Reload()


def layouts(accumulator):
    if CONFIG not in accumulator.Tags()["tensors"]:
        return []
    events = accumulator.Tensors(CONFIG)
    return [Layout.FromString(event.tensor_proto.string_val[0]) for event in events]


def all_charts(layout):
    return [chart for category in layout.category for chart in category.chart]


def line_charts(layout):
    return {chart.title: list(chart.multiline.tag) for chart in all_charts(layout) if chart.multiline.tag}


def margin_charts(layout):
    found = {}
    for chart in all_charts(layout):
        if chart.margin.series:
            found[chart.title] = [(s.value, s.lower, s.upper) for s in chart.margin.series]
    return found


def test_every_scalar_comes_back(logger, observe):
    observations = [observe(0, overhead=None), observe(1), observe(2)]
    sink = make_sink(logger)
    for o in observations:
        sink.write(o)
    accumulator = read(logger)
    found = {(t, e.step): e.value for t in accumulator.Tags()["scalars"] for e in accumulator.Scalars(t)}
    expected = {(t, o.step): v for o in observations for t, v in all_scalars(o).items()}
    best = BestValues(MEASUREMENTS)
    for o in observations:
        expected |= {(tag, o.step): value for tag, value in best.update(o).items()}
    assert found == pytest.approx(expected, rel=1e-6)


def test_each_pattern_of_the_layout_matches_one_tag_as_tensorboard_matches(logger, observe):
    make_sink(logger).write(observe())
    accumulator = read(logger)
    (layout,) = layouts(accumulator)
    written = accumulator.Tags()["scalars"]
    for title, patterns in line_charts(layout).items():
        for pattern in patterns:
            hits = [tag for tag in written if re.match(pattern, tag)]
            assert len(hits) == 1, (title, pattern, hits)
    assert [category.title for category in layout.category] == ["factorlens"]
    assert len(line_charts(layout)["relative error of the first, middle and last layer, rank 8"]) == 3
    nmf, svd = "factorlens/rel_error/rank_8", "factorlens_svd/total/rel_error/rank_8"
    assert margin_charts(layout) == {"NMF error above its SVD bound (shaded), rank 8": [(nmf, svd, nmf)]}
    assert {nmf, svd} <= set(written)
    assert not any("stop" in title for title in line_charts(layout))


def test_scalars_of_other_callbacks_have_their_charts(logger, observe):
    extra = [Scalar("should_stop", "{prefix}/should_stop", "1 where it stops.", chart="stop score and decision")]
    make_sink(logger, extra_scalars=extra).write(observe())
    (layout,) = layouts(read(logger))
    assert line_charts(layout)["stop score and decision"] == ["factorlens/should_stop$"]


def test_the_layout_is_written_once_and_again_only_for_new_charts(logger, observe):
    sink = make_sink(logger)
    for epoch in range(4):
        sink.write(observe(epoch, overhead=None if epoch == 0 else 0.1))
    assert len(layouts(read(logger))) == 1


def test_an_alpha_that_comes_late_has_its_chart(logger, observe):
    sink = make_sink(logger)
    sink.write(observe(0, alpha=None, spectra=()))
    sink.write(observe(1))
    last = layouts(read(logger))[-1]  # TensorBoard reads the last
    assert "factorlens_spectra/layer10/alpha$" in line_charts(last)["α of the first, middle and last layer"]


def test_a_scalar_that_is_missing_once_keeps_its_chart(logger, observe):
    sink = make_sink(logger)
    for epoch, consistency in enumerate((0.5, None, 0.25)):
        sink.write(observe(epoch, consistency=consistency))
    (layout,) = layouts(read(logger))
    assert line_charts(layout)["consistency under small shifts, nats"] == ["factorlens/consistency$"]


def test_the_layout_can_be_declined(logger, observe):
    make_sink(logger, layout=False).write(observe())
    assert layouts(read(logger)) == []


def test_two_lenses_on_one_writer_have_two_categories(logger, observe):
    for prefix in ("teacher", "student"):
        make_sink(logger, prefix=prefix).write(observe())
    last = layouts(read(logger))[-1]
    assert [category.title for category in last.category] == ["teacher", "student"]


def test_histograms_have_the_logarithms_of_the_eigenvalues(logger, observe):
    o = observe()
    make_sink(logger).write(o)
    accumulator = read(logger)
    for spectrum, name in zip(o["weight_spectra"].layers, ("layer1", "layer10", "stem", "_")):
        (event,) = accumulator.Histograms(f"factorlens_spectra/{name}/log10_eigenvalues")
        values = spectrum.eigenvalues[spectrum.eigenvalues > 0].log10().numpy()
        h = event.histogram_value
        assert event.step == o.step
        assert (h.num, h.min, h.max) == pytest.approx((len(values), values.min(), values.max()))
        assert h.sum == pytest.approx(values.sum())


def test_a_spectrum_without_positive_eigenvalues_has_no_histogram(logger, observe, law):
    empty = law("gone", 2.0)
    make_sink(logger).write(observe(spectra=(replace(empty, eigenvalues=empty.eigenvalues * 0), law("kept", 2.0))))
    assert read(logger).Tags()["histograms"] == ["factorlens_spectra/kept/log10_eigenvalues"]


def test_histograms_and_scalars_of_a_layer_have_the_same_label(logger, observe, law):
    first, second = law("a b", 2.0), law("a_b", 3.0)
    without = replace(first, eigenvalues=first.eigenvalues * 0)
    o = observe(spectra=(without, second))
    make_sink(logger).write(o)
    accumulator = read(logger)
    assert accumulator.Scalars("factorlens_spectra/a_b_2/alpha")[0].value == 3.0
    assert accumulator.Tags()["histograms"] == ["factorlens_spectra/a_b_2/log10_eigenvalues"]


@pytest.mark.parametrize(("every_n", "drawn"), [(0, []), (2, [0, 2])])
def test_figures_are_written_when_they_are_due(logger, observe, every_n, drawn):
    sink, observations = make_sink(logger, figures_every_n=every_n), [observe(epoch) for epoch in range(3)]
    for o in observations:
        sink.write(o)
    accumulator = read(logger)
    assert set(accumulator.Tags()["images"]) == (FIGURES if drawn else set())
    for tag in accumulator.Tags()["images"]:
        due = [k for k in drawn if k or "history" not in tag]  # the first observation has no history yet
        assert [event.step for event in accumulator.Images(tag)] == [observations[k].step for k in due]


def test_the_last_observation_is_drawn_when_the_run_ends(logger, observe):
    sink = make_sink(logger, figures_every_n=3)
    observations = [observe(epoch=k, step=10 * k) for k in range(2)]
    for o in observations:
        sink.write(o)
    sink.close()
    images = read(logger).Images("factorlens_figures/2_rank_curve")
    assert [event.step for event in images] == [observations[0].step, observations[1].step]


def test_figures_are_drawn_once_for_all_loggers(observe, tmp_path, monkeypatch):
    drawn = []

    def render(figures, history, *others):
        drawn.append(history[-1].epoch)
        return {"p": np.zeros((2, 3, 3), "uint8")}

    monkeypatch.setattr(figure_schedule, "render_figures", render)
    writers = [PlainLogger(tmp_path / name) for name in "ab"]
    sink = make_sink(*writers, figures_every_n=2)
    for epoch in range(4):
        sink.write(observe(epoch))
    sink.close()
    assert drawn == [0, 2, 3]
    for logger in writers:
        assert len(read(logger).Images("factorlens_figures/p")) == 3
        logger.experiment.close()


def test_a_figure_comes_back_pixel_by_pixel(logger, observe):
    o = observe()
    expected = render_figures(numbered_figures(MEASUREMENTS), [o])
    make_sink(logger, figures_every_n=1).write(o)
    accumulator = read(logger)
    for name in NAMES:
        (event,) = accumulator.Images(f"factorlens_figures/{name}")
        pixels = np.asarray(Image.open(BytesIO(event.encoded_image_string)))
        np.testing.assert_array_equal(pixels, soften(expected[name]))


def test_lightnings_logger_with_a_prefix_of_its_own(observe, tmp_path):
    logger = loggers.TensorBoardLogger(tmp_path, prefix="run.a")
    make_sink(logger).write(observe())
    accumulator = read(logger)
    (layout,) = layouts(accumulator)
    written = accumulator.Tags()["scalars"]
    assert "run.a-factorlens/consistency" in written
    for pattern in (pattern for patterns in line_charts(layout).values() for pattern in patterns):
        assert len([tag for tag in written if re.match(pattern, tag)]) == 1
    assert np.isfinite(accumulator.Scalars("run.a-factorlens/consistency")[0].value)


def test_a_writer_without_the_methods_is_another_logger(logger):
    assert TensorBoardMediaLogger.wrap(logger) is not None
    assert TensorBoardMediaLogger.wrap(object()) is None
