"""Every tag against the number of the record that it stands for."""

import math
import re

import pytest
from observations import MEASUREMENTS

from lightning_factorlens.loggers.tags import (
    monitored_scalars,
    other_scalars,
    summary_values,
    tagged_values,
    with_cost,
)
from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results import AlphaSummary, Observation, RankCurve, RankCurves, Scalars, ScopedScalar


def curve_tags(base, curve, base_of_rmse=None):
    rmse = {f"{base_of_rmse or base}/rmse/rank_{r}": e for r, e in zip(curve.ranks, curve.rmse)}
    return rmse | {f"{base}/rel_error/rank_{r}": e for r, e in zip(curve.ranks, curve.rel_error)}


def monitored(observation, prefix="factorlens"):
    return monitored_scalars(observation, MEASUREMENTS, prefix)


def others(observation, prefix="factorlens"):
    return other_scalars(observation, MEASUREMENTS, prefix)


def test_monitored_scalars_are_the_record(observe):
    o = observe()
    assert monitored(o) == {
        **curve_tags("factorlens", o["reconstruction_error"]["total"], "factorlens_total"),
        "factorlens/rank_at_30pct": 9.25,
        "factorlens_total/rank_at_30pct_is_lower_bound": 0.0,
        "factorlens/rank_at_12p5pct": 32.0,
        "factorlens_total/rank_at_12p5pct_is_lower_bound": 1.0,
        "factorlens/effective_rank": 20.5,
        "factorlens/consistency": 0.4375,
        "factorlens_spectra/mean_alpha": 3.0,
        "factorlens_spectra/alpha_hat": 7.5,
        "factorlens_spectra/mean_alpha_hat": 2.25,
        "factorlens_cost/seconds": 1.75,
        "factorlens_cost/overhead": 0.0625,
    }


def test_other_scalars_are_the_record(observe):
    o = observe()
    curves, rms, effective_rank = o["reconstruction_error"].curves, o["rms"], o["effective_rank"]
    expected = {"factorlens_total/rms": rms["total"]}
    for scope, svd in o["svd_error"].curves.items():
        expected |= curve_tags(f"factorlens_svd/{scope}", svd)
    bases = {"inputs": "factorlens_inputs", "activations": "factorlens_activations"}
    for scope in list(curves)[1:]:
        base = bases.get(scope, f"factorlens_layers/{scope}")
        expected |= curve_tags(base, curves[scope])
        expected |= {f"{base}/rms": rms[scope], f"{base}/effective_rank": effective_rank[scope]}
    for spectrum, name in zip(o["weight_spectra"].layers, ("layer1", "layer10", "stem", "_")):
        for key in ("alpha", "sigma", "ks_distance", "n_tail"):
            expected[f"factorlens_spectra/{name}/{key}"] = getattr(spectrum.fit, key)
        for key in ("lambda_max", "alpha_weighted", "stable_rank", "entropy_rank", "mp_edge"):
            expected[f"factorlens_spectra/{name}/{key}"] = getattr(spectrum, key)
        if spectrum.spikes is not None:
            expected[f"factorlens_spectra/{name}/spikes"] = spectrum.spikes
    seconds = o["cost"].seconds
    expected |= {f"factorlens_cost/{phase}": seconds[phase] for phase in ("forward", "factorise", "metrics")}
    for s in o["neuron_similarity"].layers:
        expected[f"factorlens_similarity/{s.layer}/mean_cosine"] = s.mean_cosine
        expected[f"factorlens_similarity/{s.layer}/mean_top_k"] = s.mean_top_k
    expected["factorlens_spectra/mean_log_lambda_max"] = 0.75
    expected["factorlens_spectra/layers_fitted"] = 3
    expected["factorlens_spectra/layers_abstained"] = 1
    assert others(o) == {tag: value for tag, value in expected.items() if math.isfinite(value)}


def test_signal_only_observations_are_counted_where_there_is_a_budget(observe):
    assert monitored(observe(n_signal_only=3))["factorlens_cost/signal_only"] == 3.0
    assert "factorlens_cost/signal_only" not in monitored(observe())


def test_values_that_are_not_finite_have_no_tags(observe):
    nan = math.nan
    total = RankCurve((1, 2), (nan, 1.0), (math.inf, 0.5), (nan, 0.25))
    alpha = AlphaSummary(nan, nan, nan, nan, 0, 4)
    o = observe(curves={"total": total}, alpha=alpha, consistency=-math.inf, overhead=None, svd_curves={})
    tags = monitored(o) | others(o)
    assert all(type(value) is float and math.isfinite(value) for value in tags.values())
    assert "factorlens_total/rmse/rank_1" not in tags
    assert tags["factorlens_total/rmse/rank_2"] == 1.0
    assert not {"factorlens_spectra/mean_alpha", "factorlens/consistency", "factorlens_cost/overhead"} & set(tags)
    assert tags["factorlens_spectra/layers_abstained"] == 4


def test_a_baseline_without_the_optional_records(observe):
    o = observe(consistency=None, alpha=None, overhead=None, spectra=(), required_ranks=(), seconds={})
    total = o["reconstruction_error"]["total"]
    assert set(monitored(o)) == {*curve_tags("factorlens", total, "factorlens_total"), "factorlens/effective_rank"}
    assert not any("spectra" in tag or "cost" in tag for tag in others(o))
    without = observe(
        consistency=None, overhead=None, spectra=None, required_ranks=None, seconds=None, similarities=None, rms=None
    )
    assert monitored(without) == monitored(o)


def test_a_record_of_another_measurement_has_no_tags(observe):
    chosen = [measurement for measurement in MEASUREMENTS if measurement.name == "consistency"]
    tags = [entry.tag for entry in tagged_values(observe(), chosen)]
    assert tags[0] == "factorlens/consistency"
    assert all("cost" in tag or tag in ("factorlens_cost/seconds", "factorlens_cost/overhead") for tag in tags[1:])


def test_tags_have_only_characters_that_tensorboard_keeps(observe, law):
    o = observe(
        spectra=(law("", 2.0), law("blocks.ä b$", 2.5), law("/x/", 3.0)), seconds={"total": 1.0, "weird phase": 0.5}
    )
    errors = o["reconstruction_error"]
    o = o.with_record("reconstruction_error", RankCurves({**errors.curves, "a (b)": errors["total"]}))
    tags = monitored(o) | others(o)
    for tag in tags:
        assert re.fullmatch(r"[-/\w.]+", tag, flags=re.ASCII)
        assert not tag.startswith("/")
    assert {"factorlens_cost/weird_phase", "factorlens_layers/a__b_/rel_error/rank_8"} <= set(tags)


def test_prefix_replaces_the_first_part_of_every_tag(observe):
    o = observe()
    for tags in (monitored, others):
        assert tags(o, "teacher") == {tag.replace("factorlens", "teacher", 1): value for tag, value in tags(o).items()}


@pytest.mark.parametrize("prefix", ["", "a/b", "a b", "é"])
def test_a_prefix_that_cannot_be_a_group_is_refused(observe, prefix):
    with pytest.raises(ValueError, match="prefix"):
        monitored(observe(), prefix)


def test_no_tag_is_used_twice(observe):
    o = observe()
    assert not set(monitored(o)) & set(others(o))
    tags = [entry.tag for entry in tagged_values(o, MEASUREMENTS)]
    assert len(tags) == len(set(tags))


def test_a_layer_has_one_label_for_all_its_scalars(observe, law):
    o = observe(spectra=(law("a b", 2.0), law("a_b", 3.0)))
    tags = others(o)
    assert tags["factorlens_spectra/a_b/alpha"] == 2.0
    assert tags["factorlens_spectra/a_b_2/alpha"] == 3.0
    assert tags["factorlens_spectra/a_b_2/lambda_max"] == o["weight_spectra"].layers[1].lambda_max


def test_summary_values_have_the_middle_rank_of_a_curve(observe):
    assert list(summary_values(observe(), MEASUREMENTS)) == [
        "factorlens/consistency",
        "factorlens/rank_at_30pct",
        "factorlens/rank_at_12p5pct",
        "factorlens/effective_rank",
        "factorlens/rel_error/rank_8",
        "factorlens_spectra/mean_alpha",
        "factorlens_cost/seconds",
    ]


def test_every_tagged_value_has_its_declaration(observe):
    declared = [scalar for measurement in with_cost(MEASUREMENTS) for scalar in measurement.scalars]
    for entry in tagged_values(observe(), MEASUREMENTS):
        assert entry.scalar in declared
        assert entry.scalar.matches(entry.value)


def test_two_numbers_for_one_tag_are_an_error_that_says_what_to_do():
    class Ambiguous(Measurement):
        name = "ambiguous"
        scalars = (Scalar("height", "{prefix}/height", "A number of several scopes under one tag."),)

        def measure(self, context):
            raise NotImplementedError

    record = ScopedScalar("height", {"a": 1.0, "b": 2.0})
    observation = Observation(epoch=0, step=0, records={"ambiguous": record})
    with pytest.raises(ValueError, match=r"'ambiguous' gives two numbers for the tag 'factorlens/height'.*\{scope\}"):
        list(tagged_values(observation, [Ambiguous()]))


@pytest.mark.parametrize("part", ["scope", "rank"])
def test_a_value_without_what_its_tag_shows_is_an_error(part):
    """Else the tag would end in None."""

    class Own(Measurement):
        name = "own"
        scalars = (Scalar("own", f"{{prefix}}/own/{{{part}}}", "A number."),)

        def measure(self, context):
            return None

    observation = Observation(1, 1, {"own": Scalars({"own": 1.0})})
    with pytest.raises(ValueError, match=rf"measurements: the tag '.*' shows the {part}, found Value\(.* without one"):
        list(tagged_values(observation, [Own()]))
