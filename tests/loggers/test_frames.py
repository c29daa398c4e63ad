"""Observations as a data frame."""

import math

import pytest

from lightning_factorlens import to_frame
from lightning_factorlens.results.serialization import from_json, to_json

pytest.importorskip("pandas")


def test_the_frame_has_every_number_once(observe):
    observations = [observe(0), observe(4)]
    frame = to_frame(observations)
    assert list(frame.columns) == ["epoch", "step", "quantity", "scope", "rank", "value"]
    assert not frame.duplicated(["epoch", "quantity", "scope", "rank"]).any()
    assert len(frame) == sum(len(list(o.values())) for o in observations)
    curve = frame[(frame.quantity == "rel_error") & (frame.scope == "layer10")].pivot(
        index="epoch", columns="rank", values="value"
    )
    assert curve.loc[4].tolist() == list(observations[1]["reconstruction_error"]["layer10"].rel_error)
    svd = frame[(frame.quantity == "svd_rmse") & (frame.scope == "total") & (frame.epoch == 0)]
    assert svd.value.tolist() == list(observations[0]["svd_error"]["total"].rmse)
    last = frame[frame.epoch == 4]
    one = dict(zip(zip(last.quantity, last.scope), last.value))
    assert last.value[last.quantity == "consistency"].item() == 0.4375
    assert one["alpha", "layer10"] == 3.5
    assert math.isnan(one["alpha", "stem"])
    assert one["rank_at_12p5pct_is_lower_bound", "total"] == 1.0
    assert one["seconds", "factorise"] == 1.0
    similarity = observations[1]["neuron_similarity"].layers[0]
    assert one["similarity_mean_top_k", "layer1"] == similarity.mean_top_k
    assert one["similarity_mean_cosine", "layer1"] == similarity.mean_cosine


def test_one_observation_and_none_are_frames_too(observe):
    o = observe()
    assert to_frame(o).equals(to_frame([o]))
    assert len(to_frame([])) == 0
    assert to_frame(from_json(to_json(o))).equals(to_frame(o))
