"""What TensorBoard reads back: scalars, layout, histograms, figures."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch.utils.tensorboard import SummaryWriter

from lightning_factorlens.sinks.loggers import LoggerSink
from lightning_factorlens.sinks.tags import details, summaries
from lightning_factorlens.sinks.tensorboard import TensorBoardExtras

CONFIG = "custom_scalars__config__"
FIGURES = {f"factorlens_figures/{name}" for name in ("rank_curve", "spectra", "alpha", "latent_images")}


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
    return {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}


def test_every_scalar_comes_back(logger, observe):
    looks = [observe(0, share=None), observe(1), observe(2)]
    sink = LoggerSink([logger], figures_every=0)
    for o in looks:
        sink.write(o)
    accumulator = read(logger)
    found = {(t, e.step): e.value for t in accumulator.Tags()["scalars"] for e in accumulator.Scalars(t)}
    expected = {(t, o.step): v for o in looks for t, v in (summaries(o) | details(o)).items()}
    assert found == pytest.approx(expected, rel=1e-6)


def test_each_regex_matches_one_tag_as_tensorboard_matches(logger, observe):
    o = observe()
    LoggerSink([logger], figures_every=0).write(o)
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
    assert matched["rmse by rank"] == [f"factorlens/rmse/rank_{r}" for r in (1, 2, 4, 8, 16, 32)]
    assert len(matched["relative error: NMF beside its SVD floor"]) == 12
    assert matched["required and effective rank"] == [
        "factorlens/rank_at_30pct", "factorlens/rank_at_12p5pct", "factorlens/effective_rank"
    ]  # fmt: skip
    assert matched["alpha over layers"] == ["factorlens/mean_alpha"] + [
        f"factorlens_spectra/{layer}/alpha" for layer in ("layer1", "layer10", "_")
    ]
    assert matched["consistency under small shifts"] == ["factorlens/consistency"]
    assert len(matched["cost in seconds"]) == 4


def test_layout_is_written_once_and_again_only_for_new_charts(logger, observe):
    sink = LoggerSink([logger], figures_every=0)
    for epoch in range(4):
        sink.write(observe(epoch, share=None if epoch == 0 else 0.1))
    assert len(layouts(read(logger))) == 1


def test_an_alpha_that_comes_late_finds_its_chart(logger, observe):
    sink = LoggerSink([logger], figures_every=0)
    sink.write(observe(0, alpha=None, spectra=()))
    sink.write(observe(1))
    last = layouts(read(logger))[-1]  # TensorBoard reads the last
    assert "factorlens_spectra/layer10/alpha$" in charts(last)["alpha over layers"]


def test_layout_can_be_declined(logger, observe):
    LoggerSink([logger], layout=False, figures_every=0).write(observe())
    assert layouts(read(logger)) == []


def test_two_lenses_share_a_writer(logger, observe):
    for prefix in ("teacher", "student"):
        LoggerSink([logger], prefix=prefix, figures_every=0).write(observe())
    last = layouts(read(logger))[-1]
    assert [category.title for category in last.category] == ["teacher", "student"]


def test_histograms_hold_the_logarithms_of_the_eigenvalues(logger, observe):
    o = observe()
    LoggerSink([logger], figures_every=0).write(o)
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
    TensorBoardExtras(logger.experiment, figures_every=0).write(
        observe(spectra=(replace(empty, eigenvalues=empty.eigenvalues * 0),))
    )
    assert read(logger).Tags()["histograms"] == []


@pytest.mark.parametrize(("every", "drawn"), [(0, []), (1, [0, 1, 2, 3]), (3, [0, 3])])
def test_figures_come_on_their_cadence(logger, observe, every, drawn):
    sink, looks = LoggerSink([logger], figures_every=every), [observe(epoch) for epoch in range(4)]
    for o in looks:
        sink.write(o)
    accumulator = read(logger)
    assert set(accumulator.Tags()["images"]) == (FIGURES if drawn else set())
    for tag in accumulator.Tags()["images"]:
        assert [event.step for event in accumulator.Images(tag)] == [looks[k].step for k in drawn]


def test_the_last_look_is_drawn_when_the_run_ends(logger, observe):
    sink = LoggerSink([logger], figures_every=3)
    looks = [observe(epoch=k, step=10 * k) for k in range(5)]
    for o in looks:
        sink.write(o)
    sink.close()
    images = read(logger).Images("factorlens_figures/rank_curve")
    assert [event.step for event in images] == [looks[0].step, looks[3].step, looks[4].step]


def test_history_keeps_no_tensors(logger, observe):
    extras = TensorBoardExtras(logger.experiment)
    extras.write(observe())
    (kept,) = extras._history
    assert (kept.images, kept.factorization) == (None, None)
    assert all(s.eigenvalues.numel() == 0 for s in kept.spectra)
    extras.close()
    assert extras._history == []


def test_negative_cadence_is_refused(logger):
    with pytest.raises(ValueError, match="figures_every"):
        TensorBoardExtras(logger.experiment, figures_every=-1)


def test_lightnings_logger_with_a_prefix_of_its_own(observe, tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.TensorBoardLogger(tmp_path, prefix="run.a")
    LoggerSink([logger], figures_every=0).write(observe())
    accumulator = read(logger)
    (layout,) = layouts(accumulator)
    written = accumulator.Tags()["scalars"]
    assert "run.a-factorlens/consistency" in written
    for regex in (regex for regexes in charts(layout).values() for regex in regexes):
        assert len([tag for tag in written if re.match(regex, tag)]) == 1
    assert np.isfinite(accumulator.Scalars("run.a-factorlens/consistency")[0].value)
