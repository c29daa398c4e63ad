"""Labels of scopes in tags."""

from lightning_factorlens.loggers.labels import tag_names


def test_equal_tags_of_distinct_names_stay_distinct():
    assert tag_names(["a b", "a_b", "a$b", "", "/", "x/y"]) == ["a_b", "a_b_2", "a_b_3", "_", "__2", "x/y"]
