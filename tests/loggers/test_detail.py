"""Which scalars and histograms loggers get at each level of detail."""

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from models import Classifier
from observations import MEASUREMENTS
from own_measurement import PeakActivation
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.safety.golden_record import RENAMED_TAGS, renamed
from lightning_factorlens import FactorLens, FactorLensCallback, LabelFreeStopping, default_measurements, to_frame
from lightning_factorlens.config import TensorBoardOptions
from lightning_factorlens.loggers.detail import at_detail, few_ranks
from lightning_factorlens.loggers.json_lines import read_jsonl, write_jsonl
from lightning_factorlens.loggers.layout import scalar_layout
from lightning_factorlens.loggers.logger_sink import LoggerSink
from lightning_factorlens.loggers.tags import tagged_values
from lightning_factorlens.measurements import DETAILS, Measurement, Scalar
from lightning_factorlens.results import ScopedScalar
from lightning_factorlens.results.curves import middle_rank
from lightning_factorlens.results.record import is_input_block

#: Largest number of tags at the level "summary", whatever the network.
LIMIT = 60
#: The tags of one run of the demo's network before there were levels of detail.
TAGS_BEFORE = Path(__file__).with_name("demo_tags_before.txt").read_text().split()
#: Groups in which there may be other tags since then: values at the best observation, and phases of the cost.
NEW_SINCE = (
    "factorlens_best/",
    "factorlens_cost/",
    "factorlens/loss_signal",
    "factorlens/accuracy_signal",
    "factorlens/memorization_gap",
    "factorlens/stop_probability",
)


class MemoryLogger(Logger):
    """Keeps the tags that it is given."""

    name, version = "memory", 0

    def __init__(self):
        super().__init__()
        self.tags = set()

    def log_metrics(self, metrics, step=None):
        self.tags |= {tag for tag in metrics if tag.startswith("factorlens")}

    def log_hyperparams(self, *args, **kwargs):
        pass


class DemoNetwork(Classifier):
    """The network of `examples/digits.py`."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def fit(*callbacks, module=None):
    """The tags that a run of one epoch logs, and the Trainer."""
    torch.manual_seed(1)
    data = DataLoader(TensorDataset(torch.rand(64, 1, 16, 16), torch.randint(0, 10, (64,))), 32)
    logger = MemoryLogger()
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", logger=logger, callbacks=list(callbacks), **silent)
    trainer.fit(module or DemoNetwork(), data, data)
    return logger.tags, trainer


@pytest.fixture(scope="module")
def demo_runs():
    """By level, the logged tags and the callback of a run of the demo's network with the demo's callbacks."""
    runs = {}
    for detail in DETAILS:
        callback = FactorLensCallback(detail=detail, verbose=False)
        tags, trainer = fit(callback, LabelFreeStopping(verbose=False))
        runs[detail] = (tags, callback, trainer)
    return runs


def tags_by_detail(observation, measurements):
    tagged = list(tagged_values(observation, measurements))
    return {detail: [entry.tag for entry in at_detail(tagged, detail)] for detail in DETAILS}


def check_levels(observation, measurements=None):
    """The summary is bounded, and every level holds the ones before it; returns the tags by level."""
    measurements = default_measurements() if measurements is None else measurements
    tags = tags_by_detail(observation, measurements)
    assert 10 < len(tags["summary"]) <= LIMIT
    assert set(tags["summary"]) < set(tags["layers"]) < set(tags["all"])
    assert tags["all"] == [entry.tag for entry in tagged_values(observation, measurements)]
    return tags


def small_network(convolution, pool, channels):
    return nn.Sequential(
        convolution(channels, 6, 3), nn.ReLU(), convolution(6, 6, 3), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(6, 3)
    )


def deep_observation(observe, law, n_layers):
    """An observation as a network of many layers gives it: curves and numbers of every layer."""
    shallow = observe()
    curve = shallow["reconstruction_error"]["total"]
    scopes = ["total", "inputs", "activations", "input/0", "input/1", "input/2"]
    scopes += [f"layer{n}.relu" for n in range(n_layers)]
    return observe(
        curves=dict.fromkeys(scopes, curve),
        svd_curves=dict.fromkeys(scopes, curve),
        effective_rank=dict.fromkeys(scopes, 2.5),
        rms=dict.fromkeys(scopes, 1.5),
        spectra=tuple(law(f"layer{n}.conv", 2.5) for n in range(n_layers)),
    )


# ---- the number of tags


def test_a_run_of_the_demos_network_logs_at_most_60_tags(demo_runs):
    tags, _, _ = demo_runs["summary"]
    assert 15 < len(tags) <= LIMIT
    assert {"factorlens/consistency", "factorlens/rank_at_30pct", "factorlens/should_stop"} < tags


def test_all_logs_what_a_run_logged_before_there_were_levels(demo_runs):
    table = json.loads(RENAMED_TAGS.read_text())
    before = {renamed(tag, table) for tag in TAGS_BEFORE}
    assert len(before) == len(TAGS_BEFORE) == 264
    tags, _, _ = demo_runs["all"]
    assert before <= tags
    assert all(tag.startswith(NEW_SINCE) for tag in tags - before)


def test_every_level_logs_what_the_one_before_it_logs(demo_runs):
    assert demo_runs["summary"][0] < demo_runs["layers"][0] < demo_runs["all"][0]


def test_the_summary_has_as_many_tags_for_a_deep_network_as_for_a_shallow_one(observe, law):
    shallow = tags_by_detail(deep_observation(observe, law, 4), MEASUREMENTS)
    deep = check_levels(deep_observation(observe, law, 160), MEASUREMENTS)
    assert deep["summary"] == shallow["summary"]
    assert len(deep["all"]) > 4000
    assert len(deep["layers"]) < 160 * 8


@pytest.mark.parametrize(
    ("convolution", "pool", "shape"),
    [
        (nn.Conv2d, nn.AdaptiveAvgPool2d, (40, 12, 10, 10)),
        (nn.Conv2d, nn.AdaptiveAvgPool2d, (40, 3, 10, 10)),
        (nn.Conv3d, nn.AdaptiveAvgPool3d, (40, 2, 8, 8, 8)),
    ],
    ids=["12 channels", "3 channels", "3D"],
)
def test_inputs_of_many_channels_and_dimensions_keep_to_the_limit(convolution, pool, shape):
    torch.manual_seed(0)
    lens = FactorLens(small_network(convolution, pool, shape[1]), outputs="classes")
    tags = check_levels(lens.observe(torch.rand(shape)))
    for detail in ("summary", "layers"):
        assert not any("input/" in tag for tag in tags[detail])
    assert "factorlens_layers/input/0/rel_error/rank_8" in tags["all"]
    assert len(tags["layers"]) < 45


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vit_b_16"])
def test_large_networks_keep_to_the_limit(name):
    models = pytest.importorskip("torchvision.models")
    options = {"image_size": 32} if name.startswith("vit") else {}
    lens = FactorLens(models.get_model(name, weights=None, **options).eval(), outputs="classes")
    tags = check_levels(lens.observe(torch.rand(8, 3, 32, 32)))
    assert len(tags["all"]) > 1000


# ---- what each level has


def test_channels_of_the_input_are_no_layers(observe):
    tagged = list(tagged_values(observe(), MEASUREMENTS))
    shown = at_detail(tagged, "layers")
    assert any(entry.value.scope == "inputs" for entry in shown)
    assert not any(is_input_block(entry.value.scope or "") for entry in shown)


def test_curves_over_ranks_are_thinned_out_below_all(observe):
    tags = tags_by_detail(observe(), MEASUREMENTS)
    of_total = [tag for tag in tags["summary"] if tag.startswith("factorlens/rel_error/")]
    assert of_total == [f"factorlens/rel_error/rank_{rank}" for rank in (2, 8, 32)]
    of_layer = [tag for tag in tags["layers"] if tag.startswith("factorlens_layers/layer1/rel_error/")]
    assert of_layer == ["factorlens_layers/layer1/rel_error/rank_8"]


@pytest.mark.parametrize("n", range(1, 12))
def test_a_few_ranks_have_the_middle_rank_in_their_middle(n):
    ranks = tuple(range(1, n + 1))
    few = few_ranks(ranks)
    assert len(few) <= 3
    assert set(few) <= set(ranks)
    assert few[-1] == ranks[-1]
    assert middle_rank(few) == middle_rank(ranks)


def test_the_scalars_of_ones_own_measurement_are_logged_at_every_level():
    class Own(Measurement):
        name = "own"
        needs = frozenset({"capture"})
        scalars = (Scalar("own", "{prefix}_own/{scope}", "A number of every block."),)

        def measure(self, context):
            return ScopedScalar("own", {f"input/{n}": float(n) for n in range(70)})

    measurements = [*default_measurements(), PeakActivation(), Own()]
    network = small_network(nn.Conv2d, nn.AdaptiveAvgPool2d, 1)
    observation = FactorLens(network, measurements=measurements).observe(torch.rand(40, 1, 10, 10))
    tags = tags_by_detail(observation, measurements)["summary"]
    assert {"factorlens/peak_activation", "factorlens_peaks/count"} < set(tags)
    assert len([tag for tag in tags if tag.startswith("factorlens_own/input/")]) == 70


def test_histograms_of_layers_begin_at_the_level_of_layers(observe):
    class Writer:
        """A writer of TensorBoard's that keeps the tags of histograms."""

        def __init__(self):
            self.histograms = []

        def add_histogram(self, tag, *args, **kwargs):
            self.histograms.append(tag)

        def add_text(self, *args, **kwargs):
            pass

        add_image = add_custom_scalars = add_embedding = flush = add_text

    counts = {}
    for detail in DETAILS:
        logger = MemoryLogger()
        logger.experiment = Writer()
        LoggerSink([logger], MEASUREMENTS, options=TensorBoardOptions(figures_every_n=0), detail=detail).write(
            observe()
        )
        counts[detail] = len(logger.experiment.histograms)
    assert counts == {"summary": 0, "layers": 4, "all": 4}


@pytest.mark.parametrize("detail", DETAILS)
def test_charts_have_few_lines_and_name_only_what_is_logged(observe, law, detail):
    tagged = list(tagged_values(deep_observation(observe, law, 30), MEASUREMENTS))
    logged = at_detail(tagged, detail)
    tags = {entry.tag for entry in logged}
    charts = scalar_layout(logged)["factorlens"]
    assert "consistency under small shifts, nats" in charts
    assert ("α of the first, middle and last layer" in charts) == (detail != "summary")
    for kind, lines in charts.values():
        assert len(lines) <= 3
        if kind == "Multiline":
            assert {line.removesuffix("$").replace("\\", "") for line in lines} <= tags
        else:
            assert set(lines) <= tags


# ---- what does not depend on the level


def test_records_frames_and_json_lines_have_every_number_at_every_level(demo_runs, tmp_path):
    counts = set()
    for detail, (_, callback, _) in demo_runs.items():
        path = tmp_path / f"{detail}.jsonl"
        write_jsonl(callback.history, path)
        assert len(to_frame(read_jsonl(path))) == len(to_frame(callback.history))
        counts.add(len(to_frame(callback.history)))
    assert len(counts) == 1


def test_monitored_scalars_can_be_monitored_at_every_level(demo_runs):
    published = {frozenset(trainer.callback_metrics) for _, _, trainer in demo_runs.values()}
    (tags,) = published
    hidden = {"factorlens_spectra/alpha_hat", "factorlens/stop_score", "factorlens_total/rmse/rank_1"}
    assert hidden < tags
    assert not hidden & demo_runs["summary"][0]


def test_a_callback_may_monitor_a_scalar_that_the_level_does_not_log():
    stop = EarlyStopping("factorlens_total/rmse/rank_1", check_on_train_epoch_end=True)
    callback = FactorLensCallback(probe_size=16, verbose=False)
    fit(callback, stop)
    assert torch.isfinite(stop.best_score)


@pytest.mark.parametrize("make", [FactorLensCallback, lambda detail: LoggerSink([], detail=detail)])
def test_an_unknown_level_is_refused(make):
    with pytest.raises(ValueError, match=r"detail: found 'some', allowed are 'summary', 'layers', 'all'"):
        make(detail="some")
