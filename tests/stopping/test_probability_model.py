"""The fitted model: the logistic function of its coefficients, whose signs are those that are promised."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probability_reference import probability

from lightning_factorlens.stopping.probability_features import FALL, RISE, SHARE, SINCE
from lightning_factorlens.stopping.probability_model import (
    MODEL_FILE,
    PLANNED,
    TARGETS,
    UNPLANNED,
    LogisticModel,
    fitted_model,
)

NUMBERS = json.loads(MODEL_FILE.read_text(encoding="utf-8"))["targets"]
MODELS = [(target, kind) for target in TARGETS for kind in (PLANNED, UNPLANNED)]
#: The features within their ranges: logarithms of 1 plus a count or a ratio, a share, and powers of ten.
IN_RANGE = st.fixed_dictionaries(
    {SINCE: st.floats(0, 7), RISE: st.floats(0, 12), SHARE: st.floats(0, 1), FALL: st.floats(0, 1)}
)


@pytest.mark.parametrize(("target", "kind"), MODELS)
def test_the_probability_equals_its_formula_and_is_one(target, kind):
    model = fitted_model(target, kind == PLANNED)

    @settings(max_examples=20, deadline=None)
    @given(features=IN_RANGE)
    def check(features):
        found = model.probability(features)
        assert found == pytest.approx(probability(NUMBERS[target][kind], features), rel=1e-12)
        assert 0 < found < 1

    check()


@pytest.mark.parametrize(("target", "kind"), MODELS)
def test_every_feature_moves_the_probability_in_the_promised_direction(target, kind):
    model = fitted_model(target, kind == PLANNED)
    middle = {SINCE: 1.0, RISE: 1.0, SHARE: 0.5, FALL: 0.5}
    for name in model.coefficients:
        more = model.probability({**middle, name: middle[name] + 0.3})
        if name == FALL:
            assert more <= model.probability(middle)
        else:
            assert more >= model.probability(middle)


def test_a_model_without_the_planned_number_of_epochs_does_not_read_it():
    for target in TARGETS:
        assert SHARE in fitted_model(target, True).coefficients
        assert SHARE not in fitted_model(target, False).coefficients


@pytest.mark.parametrize(("total", "expected"), [(1e6, 1.0), (-1e6, 0.0), (0.0, 0.5), (-745.0, 0.0)])
def test_large_sums_neither_overflow_nor_warn(total, expected):
    assert LogisticModel(total, {}).probability({}) == pytest.approx(expected, abs=1e-300)


def test_a_feature_that_is_not_a_number_gives_no_number():
    assert math.isnan(LogisticModel(0.0, {SINCE: 1.0}).probability({SINCE: math.nan}))


def test_an_unknown_target_is_an_error_that_names_those_there_are():
    with pytest.raises(ValueError, match="target: found 'f1', allowed are 'loss', 'accuracy'"):
        fitted_model("f1", True)
