"""Errors of the truncated SVD in a lens against the function that computes them."""


def test_the_record_holds_the_curves_of_the_truncated_svd(measured):
    observation, groups, factorization = measured
    expected = groups.svd_curves(groups.curves(factorization))
    assert observation["svd_error"].curves == expected
    quantities = {value.quantity for value in observation["svd_error"].values()}
    assert quantities == {"svd_rmse", "svd_rel_error", "svd_rel_sq_error"}
    assert observation.value("svd_rel_error", "total", 4) == expected["total"].rel_error[2]
