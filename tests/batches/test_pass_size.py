from lightning_factorlens.batches.pass_size import PassSize


def test_a_limit_makes_units_and_passes_smaller_and_never_larger():
    size = PassSize(128, 64)
    size.limit(100)
    assert (size.unit, size.current) == (100, 64)
    size.limit(32)
    size.limit(50)
    assert (size.unit, size.current) == (32, 32)
