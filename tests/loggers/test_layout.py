"""The charts of TensorBoard's page "Custom Scalars"."""

import re

from observations import MEASUREMENTS

from lightning_factorlens.loggers.layout import scalar_layout
from lightning_factorlens.loggers.tags import tagged_values
from lightning_factorlens.measurements import Scalar


def layout_of(observation, extra_scalars=(), prefix="factorlens", tag_prefix=""):
    tagged = list(tagged_values(observation, MEASUREMENTS, prefix))
    return scalar_layout(tagged, extra_scalars, prefix, tag_prefix), [entry.tag for entry in tagged]


def matched_tags(layout, tags, category="factorlens"):
    """The tags that TensorBoard draws in every chart with lines: a pattern need only match the beginning."""
    found = {}
    for title, (kind, patterns) in layout[category].items():
        if kind == "Multiline":
            hits = [[tag for tag in tags if re.match(pattern, tag)] for pattern in patterns]
            assert all(len(tags_of_one) == 1 for tags_of_one in hits), title
            found[title] = [tags_of_one[0] for tags_of_one in hits]
    return found


def test_each_pattern_matches_one_tag_as_tensorboard_matches(observe):
    o = observe()
    layout, tags = layout_of(o)
    matched = matched_tags(layout, tags)
    assert list(layout) == ["factorlens"]
    assert matched["relative error of the first, middle and last layer, rank 8"] == [
        f"factorlens_layers/{layer}/rel_error/rank_8" for layer in ("layer1", "layer1.0.conv-2", "head/F.relu")
    ]
    assert matched["rmse, units of the activations, rank 8"] == ["factorlens_total/rmse/rank_8"]
    assert matched["relative error, ‖X − X̂‖ / ‖X‖, rank 8"] == ["factorlens/rel_error/rank_8"]
    assert matched["components needed for a relative error of 0.3"] == ["factorlens/rank_at_30pct"]
    assert matched["components needed for a relative error of 0.125"] == ["factorlens/rank_at_12p5pct"]
    assert matched["effective rank, components"] == ["factorlens/effective_rank"]
    assert matched["mean α of the layers"] == ["factorlens_spectra/mean_alpha"]
    assert matched["α of the first, middle and last layer"] == [
        f"factorlens_spectra/{layer}/alpha" for layer in ("layer1", "layer10", "_")
    ]
    assert matched["neuron similarity of the first, middle and last layer, mean cosine"] == [
        f"factorlens_similarity/{layer}/mean_cosine" for layer in ("layer1", "layer1.0.conv-2", "head/F.relu")
    ]
    assert matched["consistency under small shifts, nats"] == ["factorlens/consistency"]
    assert matched["cost of the lens, seconds an observation"] == ["factorlens_cost/seconds"]
    assert not any("stop" in title for title in matched)


def test_the_gap_above_the_svd_is_a_margin(observe):
    layout, tags = layout_of(observe(), tag_prefix="run.a-")
    nmf, svd = "factorlens/rel_error/rank_8", "factorlens_svd/total/rel_error/rank_8"
    margins = {title: tags_of_one for title, (kind, *tags_of_one) in layout["factorlens"].items() if kind == "Margin"}
    assert margins == {
        "NMF error above its SVD bound (shaded), rank 8": [[f"run.a-{nmf}", f"run.a-{svd}", f"run.a-{nmf}"]]
    }
    assert {nmf, svd} <= set(tags)


def test_scalars_of_other_callbacks_have_charts(observe):
    def stop(name, chart):
        return Scalar(name, f"{{prefix}}/{name}", "help", chart=chart)

    extra = [stop("stop_score", "decision"), stop("should_stop", "decision"), stop("stop_best_epoch", "best epoch")]
    charts = layout_of(observe(), extra)[0]["factorlens"]
    assert charts["decision"] == ["Multiline", ["factorlens/stop_score$", "factorlens/should_stop$"]]
    assert charts["best epoch"] == ["Multiline", ["factorlens/stop_best_epoch$"]]


def test_charts_without_values_are_left_out(observe):
    layout, _ = layout_of(observe(spectra=None, similarities=None, svd_curves=None))
    assert not [title for title in layout["factorlens"] if "α" in title or "similarity" in title or "SVD" in title]
    assert scalar_layout([]) == {}


def test_prefixes_are_part_of_patterns(observe):
    layout, tags = layout_of(observe(), prefix="a.b", tag_prefix="run.a-")
    assert list(layout) == ["a.b"]
    assert layout["a.b"]["consistency under small shifts, nats"] == ["Multiline", [r"run\.a\-a\.b/consistency$"]]
    assert "a.b/consistency" in tags
