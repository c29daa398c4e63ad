"""Wrong lists of measurements: the error names what is wrong in which of them."""

import pytest

from lightning_factorlens.measurements import Consistency, Measurement, RankAtError, Scalar, check_measurements


def declare(name="own", needs=(), scalars=()):
    """A measurement with these declarations, which measures nothing."""
    attributes = {"name": name, "needs": frozenset(needs), "scalars": tuple(scalars), "measure": lambda *_: None}
    return type("Own", (Measurement,), attributes)()


def scalar(quantity="own", tag="{prefix}/own", **options):
    return Scalar(quantity, tag, "A number.", **options)


@pytest.mark.parametrize("measurements", [None, [], (), "consistency", Consistency(), {Consistency()}])
def test_a_value_that_is_no_list_of_measurements_is_refused(measurements):
    with pytest.raises(ValueError, match="measurements: must be a non-empty list of Measurement objects, found"):
        check_measurements(measurements)


@pytest.mark.parametrize("entry", ["consistency", None, Consistency, 3])
def test_an_entry_that_is_no_measurement_is_refused(entry):
    with pytest.raises(TypeError, match=r"measurements: found .*give objects of classes derived from Measurement"):
        check_measurements([Consistency(), entry])


@pytest.mark.parametrize("name", ["", "two words", "a/b", "naïve", None, 3])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(ValueError, match=r"measurements: Own\.name must have letters, digits and underscores only"):
        check_measurements([declare(name)])


def test_a_measurement_without_a_name_is_refused():
    class Nameless(Measurement):
        def measure(self, context):
            return None

    with pytest.raises(ValueError, match=r"measurements: Nameless\.name must have .*found None"):
        check_measurements([Nameless()])


def test_a_wrong_need_is_refused():
    with pytest.raises(ValueError, match=r"measurements: own\.needs: found 'labels', allowed are 'capture', "):
        check_measurements([declare(needs=["capture", "labels"])])


def test_two_measurements_of_one_name_are_refused():
    with pytest.raises(ValueError, match="measurements: 'consistency' is listed 2 times; list every name once"):
        check_measurements([Consistency(), RankAtError(), Consistency(shift=2)])


def test_two_declarations_of_one_tag_are_refused():
    first, second = declare("first", scalars=[scalar("a")]), declare("second", scalars=[scalar("b")])
    with pytest.raises(ValueError, match=r"the tag '\{prefix\}/own' is declared by 'first' and 'second'"):
        check_measurements([first, second])
    with pytest.raises(ValueError, match="is declared by 'twice' and 'twice'"):
        check_measurements([declare("twice", scalars=[scalar("a"), scalar("b")])])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (scalar("a", scope="inputs"), scalar("a", scope="total")),  # the tag does not show the scope
        (scalar("a", "{prefix}/{scope}", scope="inputs"), scalar("b", "{prefix}/{scope}", scope="inputs")),
        (scalar("a", "{prefix}/{scope}", scope="inputs"), scalar("b", "{prefix}/{scope}")),
        (scalar("a", "{prefix}/{scope}"), scalar("a", "{prefix}/{scope}")),
    ],
)
def test_declarations_that_would_write_one_tag_are_refused(first, second):
    with pytest.raises(ValueError, match="give one of them another tag"):
        check_measurements([declare(scalars=[first, second])])


def test_declarations_of_different_scopes_may_share_a_tag_that_shows_the_scope():
    inputs, total = (scalar("a", "{prefix}/{scope}", scope=scope) for scope in ("inputs", "total"))
    rest = scalar("a", "{prefix}/{scope}")
    check_measurements([declare(scalars=[inputs, total, rest])])
    check_measurements([declare("first", scalars=[inputs]), declare("second", scalars=[total])])
    with pytest.raises(ValueError, match="declared by 'first' and 'second'"):
        check_measurements([declare("first", scalars=[inputs]), declare("second", scalars=[rest])])


def test_the_tag_of_a_default_measurement_cannot_be_declared_again():
    with pytest.raises(ValueError, match="declared by 'consistency' and 'own'; give one of them another tag"):
        check_measurements([Consistency(), declare(scalars=[scalar(tag="{prefix}/consistency")])])


def test_declarations_of_the_wrong_kind_are_named():
    class OneScalar(Measurement):
        name = "one"
        scalars = Scalar("one", "{prefix}/one", "One.")

        def measure(self, context):
            return {}

    class NeedsText(OneScalar):
        scalars = (OneScalar.scalars,)
        needs = "capture"

    with pytest.raises(ValueError, match=r"measurements: one.scalars must be a tuple of Scalar objects"):
        check_measurements([OneScalar()])
    with pytest.raises(ValueError, match=r"measurements: one.needs must be a set of names, found 'capture'"):
        check_measurements([NeedsText()])
    with pytest.raises(ValueError, match=r"tag: may have \{prefix\}, \{scope\}, \{rank\} in braces"):
        Scalar("one", "{prefix}/{layer}", "One.")


@pytest.mark.parametrize("name", ["cost", "total", "capture", "factorization", "writing"])
def test_the_name_of_a_part_of_the_cost_is_refused(name):
    with pytest.raises(ValueError, match=f"measurements: Own.name is '{name}', as is a part of the lens's cost"):
        check_measurements([declare(name)])
