"""Every tag against the number of the record it stands for."""

import math
import re
from dataclasses import replace

import pytest

from lightning_factorlens.loggers.tags import middle_rank, monitored_scalars, other_scalars, percent, tag_names
from lightning_factorlens.results import AlphaSummary, RankCurve


def curve_tags(base, curve):
    rmse = {f"{base}/rmse/rank_{r}": e for r, e in zip(curve.ranks, curve.rmse)}
    return rmse | {f"{base}/rel_error/rank_{r}": e for r, e in zip(curve.ranks, curve.rel_error)}


def test_summaries_are_the_record(observe):
    o = observe()
    assert monitored_scalars(o) == {
        **curve_tags("factorlens", o.curves["total"]),
        "factorlens/rank_at_30pct": 9.25,
        "factorlens/rank_at_30pct_capped": 0.0,
        "factorlens/rank_at_12p5pct": 32.0,
        "factorlens/rank_at_12p5pct_capped": 1.0,
        "factorlens/effective_rank": 20.5,
        "factorlens/consistency": 0.4375,
        "factorlens/mean_alpha": 3.0,
        "factorlens/alpha_hat": 7.5,
        "factorlens/mean_alpha_hat": 2.25,
        "factorlens/seconds": 1.75,
        "factorlens/share": 0.0625,
    }


def test_details_are_the_record(observe):
    o = observe()
    expected = {"factorlens_total/rms": o.rms["total"]}
    for scope, floor in o.floors.items():
        expected |= curve_tags(f"factorlens_svd/{scope}", floor)
    bases = {"inputs": "factorlens_inputs", "activations": "factorlens_activations"}
    for scope in list(o.curves)[1:]:
        base = bases.get(scope, f"factorlens_layers/{scope}")
        expected |= curve_tags(base, o.curves[scope])
        expected |= {f"{base}/rms": o.rms[scope], f"{base}/effective_rank": o.effective_rank[scope]}
    for spectrum, name in zip(o.spectra, ("layer1", "layer10", "stem", "_")):
        for key in ("alpha", "sigma", "ks_distance", "n_tail"):
            expected[f"factorlens_spectra/{name}/{key}"] = getattr(spectrum.fit, key)
        for key in ("lambda_max", "alpha_weighted", "stable_rank", "entropy_rank", "mp_edge"):
            expected[f"factorlens_spectra/{name}/{key}"] = getattr(spectrum, key)
        if spectrum.spikes is not None:
            expected[f"factorlens_spectra/{name}/spikes"] = spectrum.spikes
    expected |= {f"factorlens_cost/{phase}": o.seconds[phase] for phase in ("forward", "factorise", "metrics")}
    for s in o.similarity:
        expected[f"factorlens_similarity/{s.layer}/off_diagonal"] = s.off_diagonal
        expected[f"factorlens_similarity/{s.layer}/first_4_eigenvalues"] = s.first_k
    expected["factorlens_spectra/mean_log_lambda_max"] = 0.75
    expected["factorlens_spectra/layers_fitted"] = 3
    expected["factorlens_spectra/layers_abstained"] = 1
    assert other_scalars(o) == {tag: value for tag, value in expected.items() if math.isfinite(value)}


def test_nothing_that_is_not_finite(observe):
    nan = math.nan
    total = RankCurve((1, 2), (nan, 1.0), (math.inf, 0.5), (nan, 0.25))
    alpha = AlphaSummary(nan, nan, nan, nan, 0, 4)
    o = observe(curves={"total": total}, alpha=alpha, consistency=-math.inf, share=None, floors={})
    tags = monitored_scalars(o) | other_scalars(o)
    assert all(type(value) is float and math.isfinite(value) for value in tags.values())
    assert "factorlens/rmse/rank_1" not in tags
    assert tags["factorlens/rmse/rank_2"] == 1.0
    assert not {"factorlens/mean_alpha", "factorlens/consistency", "factorlens/share"} & set(tags)
    assert tags["factorlens_spectra/layers_abstained"] == 4


def test_baseline_without_the_optional_parts(observe):
    o = observe(consistency=None, alpha=None, share=None, spectra=(), required_ranks=(), seconds={})
    assert set(monitored_scalars(o)) == set(curve_tags("factorlens", o.curves["total"])) | {"factorlens/effective_rank"}
    assert not any("spectra" in tag or "cost" in tag for tag in other_scalars(o))


def test_tags_have_only_what_tensorboard_keeps(observe, law):
    o = observe(spectra=(law("", 2.0), law("blocks.ä b$", 2.5), law("/x/", 3.0)))
    o = replace(o, curves=o.curves | {"a (b)": o.curves["total"]}, seconds={"total": 1.0, "weird phase": 0.5})
    for tag in monitored_scalars(o) | other_scalars(o):
        assert re.fullmatch(r"[-/\w.]+", tag, flags=re.ASCII)
        assert not tag.startswith("/")


def test_prefix_stands_everywhere_instead(observe):
    o = observe()
    for tags in (monitored_scalars, other_scalars):
        assert tags(o, prefix="teacher") == {
            tag.replace("factorlens", "teacher", 1): value for tag, value in tags(o).items()
        }


@pytest.mark.parametrize("prefix", ["", "a/b", "a b", "é"])
def test_prefix_that_is_no_group_is_refused(observe, prefix):
    with pytest.raises(ValueError, match="prefix"):
        monitored_scalars(observe(), prefix=prefix)


def test_no_tag_twice(observe):
    o = observe()
    assert not set(monitored_scalars(o)) & set(other_scalars(o))


def test_names_stay_distinct():
    assert tag_names(["a b", "a_b", "a$b", "", "/", "x/y"]) == ["a_b", "a_b_2", "a_b_3", "_", "__2", "x/y"]


@pytest.mark.parametrize(("tau", "text"), [(0.3, "30"), (0.125, "12p5"), (0.07, "7"), (0.001, "0p1"), (1.0, "100")])
def test_percent(tau, text):
    assert percent(tau) == text


def test_middle_rank():
    assert [middle_rank(r) for r in ((4,), (1, 2), (1, 2, 4, 8, 16, 32))] == [4, 2, 8]
