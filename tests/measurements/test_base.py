"""Declarations of measurements, and the one that fits a value best."""

import pytest

from lightning_factorlens.measurements import Measurement, Scalar
from lightning_factorlens.results import Value


def declare(name="own", needs=(), scalars=()):
    """A measurement with these declarations, which measures nothing."""
    attributes = {"name": name, "needs": frozenset(needs), "scalars": tuple(scalars), "measure": lambda *_: None}
    return type("Own", (Measurement,), attributes)()


def scalar(quantity="own", tag="{prefix}/own", **options):
    return Scalar(quantity, tag, "A number.", **options)


@pytest.mark.parametrize("tag", ["own", "factorlens/own", "x{prefix}/own", "{prefix}", "{prefix}own", ""])
def test_a_tag_without_the_prefix_in_front_is_refused(tag):
    with pytest.raises(ValueError, match=r"tag: must begin with '\{prefix\}/' or '\{prefix\}_', found .*write e\.g\."):
        scalar(tag=tag)


@pytest.mark.parametrize("tag", ["{prefix}/own", "{prefix}_layers/{scope}/own", "{prefix}/own/rank_{rank}"])
def test_tags_with_the_prefix_in_front_are_accepted(tag):
    assert scalar(tag=tag).tag == tag


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="better: found 'more', allowed are 'lower', 'higher'"):
        scalar(better="more")


def test_measure_must_be_defined():
    class Unfinished(Measurement):
        name = "unfinished"

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()


def test_the_most_specific_declaration_describes_a_value():
    total = scalar(tag="{prefix}/own", scope="total")
    layer = scalar(tag="{prefix}_layers/{scope}/own")
    for scalars in ([total, layer], [layer, total]):
        measurement = declare(scalars=scalars)
        assert measurement.scalar_of(Value("own", 1.0, "total")) is total
        assert measurement.scalar_of(Value("own", 1.0, "conv")) is layer
        assert measurement.scalar_of(Value("own", 1.0)) is layer
        assert measurement.scalar_of(Value("other", 1.0, "total")) is None
    assert declare(scalars=[total]).scalar_of(Value("own", 1.0, "conv")) is None


@pytest.mark.parametrize(
    "tag", ["{prefix}/{foo}", "{prefix}/{0}", "{prefix}/{}", "{prefix}/{scope", "{prefix}/{scope.x}"]
)
def test_a_tag_that_could_not_be_filled_in_is_refused(tag):
    with pytest.raises(ValueError, match=r"tag: may have \{prefix\}, \{scope\}, \{rank\} in braces"):
        scalar(tag=tag)


def test_a_chart_that_could_not_be_filled_in_is_refused():
    with pytest.raises(ValueError, match=r"chart: may have \{rank\} in braces"):
        scalar(chart="share {scope}")
    assert scalar(chart="share, rank {rank}").chart == "share, rank {rank}"
