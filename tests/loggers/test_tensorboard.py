"""What TensorBoard reads back: scalars, layout, histograms, figures."""

import re
from dataclasses import replace

import numpy as np
import pytest
from lightning_factorlens.loggers.lightning_loggers import LoggerSink
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch.utils.tensorboard import SummaryWriter

from lightning_factorlens.loggers.figure_schedule import FigureSchedule, render_figures
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.loggers.tensorboard import TensorBoardExtras

CONFIG = "custom_scalars__config__"
NAMES = ("2_rank_curve", "3_latent_images", "4_hidden_layers", "5_similarity", "6_alpha", "7_spectra")
FIGURES = {f"factorlens_figures/{name}" for name in (*NAMES, "1_course")}


class Logger:
    """Lightning's TensorBoardLogger in four lines."""

    def __init__(self, folder):
        self.experiment = SummaryWriter(folder)

    def log_metrics(self, metrics, step=None):
        for tag, value in metrics.items():
            self.experiment.add_scalar(tag, value, step)


@pytest.fixture
def logger(tmp_path):
    logger = Logger(tmp_path)
    yield logger
    logger.experiment.close()


def read(logger):
    logger.experiment.flush()
    accumulator = EventAccumulator(str(logger.experiment.log_dir), size_guidance=dict.fromkeys(
        ("scalars", "histograms", "images", "tensors"), 0))  # fmt: skip
    return accumulator.Reload()


def layouts(accumulator):
    if CONFIG not in accumulator.Tags()["tensors"]:
        return []
    events = accumulator.Tensors(CONFIG)
    return [Layout.FromString(event.tensor_proto.string_val[0]) for event in events]


def charts(layout):
    every = [chart for category in layout.category for chart in category.chart]
    return {chart.title: list(chart.multiline.tag) for chart in every if chart.multiline.tag}


def margins(layout):
    every = [chart for category in layout.category for chart in category.chart]
    return {
        chart.title: [(s.value, s.lower, s.upper) for s in chart.margin.series]
        for chart in every
        if chart.margin.series
    }


def test_every_scalar_comes_back(logger, observe):
    looks = [observe(0, share=None), observe(1), observe(2)]
    sink = LoggerSink([logger], figures_every_n=0)
    for o in looks:
        sink.write(o)
    accumulator = read(logger)
    found = {(t, e.step): e.value for t in accumulator.Tags()["scalars"] for e in accumulator.Scalars(t)}
    expected = {(t, o.step): v for o in looks for t, v in (monitored_scalars(o) | other_scalars(o)).items()}
    assert found == pytest.approx(expected, rel=1e-6)


def test_each_regex_matches_one_tag_as_tensorboard_matches(logger, observe):
    o = observe()
    LoggerSink([logger], figures_every_n=0).write(o)
    accumulator = read(logger)
    (layout,) = layouts(accumulator)
    written = accumulator.Tags()["scalars"]
    matched = {}
    for title, regexes in charts(layout).items():
        for regex in regexes:
            hits = [tag for tag in written if re.match(regex, tag)]
            assert len(hits) == 1, (title, regex, hits)
            matched.setdefault(title, []).extend(hits)
    assert [category.title for category in layout.category] == ["factorlens"]
    assert matched["relative error per layer, rank 8"] == [
        f"factorlens_layers/{b}/rel_error/rank_8" for b in list(o.curves)[3:]
    ]
    assert matched["rmse by rank, units of the activations"] == [
        f"factorlens/rmse/rank_{r}" for r in (1, 2, 4, 8, 16, 32)
    ]
    assert len(matched["relative error by rank, ‖X − X̂‖ / ‖X‖"]) == 6
    nmf, svd = "factorlens/rel_error/rank_8", "factorlens_svd/total/rel_error/rank_8"
    assert margins(layout) == {"NMF above its SVD floor (shaded), rank 8": [(nmf, svd, nmf)]}
    assert {nmf, svd} <= set(written)
    assert matched["rank at a given error, and effective rank"] == [
        "factorlens/rank_at_30pct", "factorlens/rank_at_12p5pct", "factorlens/effective_rank"
    ]  # fmt: skip
    assert matched["α of each layer, and their mean"] == ["factorlens/mean_alpha"] + [
        f"factorlens_spectra/{layer}/alpha" for layer in ("layer1", "layer10", "_")
    ]
    assert matched["neuron similarity per layer, mean cosine"] == [
        f"factorlens_similarity/{s.layer}/off_diagonal" for s in o.similarity
    ]
    assert matched["consistency under small shifts, nats"] == ["factorlens/consistency"]
    assert len(matched["cost of the lens, seconds a look"]) == 4
    assert not any("stop" in title for title in matched)


def test_a_stopping_rule_has_its_charts_when_there_is_one(logger, observe):
    others = ["factorlens/stop_score", "factorlens/should_stop", "factorlens/stop_best_epoch"]
    LoggerSink([logger], figures_every_n=0, others=others).write(observe())
    (layout,) = layouts(read(logger))
    assert charts(layout)["stop score and decision"] == ["factorlens/stop_score$", "factorlens/should_stop$"]
    assert charts(layout)["best epoch so far, by the stopping rule"] == ["factorlens/stop_best_epoch$"]


def test_layout_is_written_once_and_again_only_for_new_charts(logger, observe):
    sink = LoggerSink([logger], figures_every_n=0)
    for epoch in range(4):
        sink.write(observe(epoch, share=None if epoch == 0 else 0.1))
    assert len(layouts(read(logger))) == 1


def test_an_alpha_that_comes_late_finds_its_chart(logger, observe):
    sink = LoggerSink([logger], figures_every_n=0)
    sink.write(observe(0, alpha=None, spectra=()))
    sink.write(observe(1))
    last = layouts(read(logger))[-1]  # TensorBoard reads the last
    assert "factorlens_spectra/layer10/alpha$" in charts(last)["α of each layer, and their mean"]


def test_layout_can_be_declined(logger, observe):
    LoggerSink([logger], layout=False, figures_every_n=0).write(observe())
    assert layouts(read(logger)) == []


def test_two_lenses_share_a_writer(logger, observe):
    for prefix in ("teacher", "student"):
        LoggerSink([logger], prefix=prefix, figures_every_n=0).write(observe())
    last = layouts(read(logger))[-1]
    assert [category.title for category in last.category] == ["teacher", "student"]


def test_histograms_hold_the_logarithms_of_the_eigenvalues(logger, observe):
    o = observe()
    LoggerSink([logger], figures_every_n=0).write(o)
    accumulator = read(logger)
    for spectrum, name in zip(o.spectra, ("layer1", "layer10", "stem", "_")):
        (event,) = accumulator.Histograms(f"factorlens_spectra/{name}/log10_eigenvalues")
        values = spectrum.eigenvalues[spectrum.eigenvalues > 0].log10().numpy()
        h = event.histogram_value
        assert event.step == o.step
        assert (h.num, h.min, h.max) == pytest.approx((len(values), values.min(), values.max()))
        assert h.sum == pytest.approx(values.sum())


def test_spectrum_without_eigenvalues_has_no_histogram(logger, observe, law):
    empty = law("gone", 2.0)
    TensorBoardExtras(logger.experiment).write(
        observe(spectra=(replace(empty, eigenvalues=empty.eigenvalues * 0),)), {}
    )
    assert read(logger).Tags()["histograms"] == []


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (2, [0, 2])])
def test_figures_come_on_their_cadence(logger, observe, every, drawn):
    sink, looks = LoggerSink([logger], figures_every_n=every), [observe(epoch) for epoch in range(3)]
    for o in looks:
        sink.write(o)
    accumulator = read(logger)
    assert set(accumulator.Tags()["images"]) == (FIGURES if drawn else set())
    for tag in accumulator.Tags()["images"]:
        due = [k for k in drawn if k or "course" not in tag]  # the first look has no course yet
        assert [event.step for event in accumulator.Images(tag)] == [looks[k].step for k in due]


def test_the_last_look_is_drawn_when_the_run_ends(logger, observe):
    sink = LoggerSink([logger], figures_every_n=3)
    looks = [observe(epoch=k, step=10 * k) for k in range(2)]
    for o in looks:
        sink.write(o)
    sink.close()
    images = read(logger).Images("factorlens_figures/2_rank_curve")
    assert [event.step for event in images] == [looks[0].step, looks[1].step]


def test_history_keeps_no_tensors(observe):
    album = FigureSchedule(0)
    assert album.add(observe()) == {}
    (kept,) = album.history
    assert (kept.images, kept.factorization, kept.similarity) == (None, None, ())
    assert all(s.eigenvalues.numel() == 0 for s in kept.spectra)
    album.clear()
    assert (album.history, album.last) == ([], None)


def test_pictures_are_drawn_once_for_all_loggers(observe, tmp_path, monkeypatch):
    from lightning_factorlens.loggers import figure_schedule as album

    drawn = []
    monkeypatch.setattr(
        album, "pictures", lambda o, history: drawn.append(o.epoch) or {"p": np.zeros((2, 3, 3), "uint8")}
    )
    loggers = [Logger(tmp_path / name) for name in "ab"]
    sink = LoggerSink(loggers, figures_every_n=2)
    for epoch in range(4):
        sink.write(observe(epoch))
    sink.close()
    assert drawn == [0, 2, 3]
    for logger in loggers:
        assert len(read(logger).Images("factorlens_figures/p")) == 3
        logger.experiment.close()


def test_a_picture_comes_back_pixel_by_pixel(logger, observe):
    from io import BytesIO

    from PIL import Image

    o = observe()
    expected = render_figures(o, [o])
    LoggerSink([logger]).write(o)
    accumulator = read(logger)
    for name in NAMES:
        (event,) = accumulator.Images(f"factorlens_figures/{name}")
        pixels = np.asarray(Image.open(BytesIO(event.encoded_image_string)))
        np.testing.assert_array_equal(pixels, expected[name])


def test_negative_cadence_is_refused():
    with pytest.raises(ValueError, match="figures_every_n"):
        FigureSchedule(-1)


def test_lightnings_logger_with_a_prefix_of_its_own(observe, tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.TensorBoardLogger(tmp_path, prefix="run.a")
    LoggerSink([logger], figures_every_n=0).write(observe())
    accumulator = read(logger)
    (layout,) = layouts(accumulator)
    written = accumulator.Tags()["scalars"]
    assert "run.a-factorlens/consistency" in written
    for regex in (regex for regexes in charts(layout).values() for regex in regexes):
        assert len([tag for tag in written if re.match(regex, tag)]) == 1
    assert np.isfinite(accumulator.Scalars("run.a-factorlens/consistency")[0].value)
