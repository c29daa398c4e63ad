"""Exponents of growth, and the tables that they are fitted to."""

import math

import pytest

from benchmarks.scale.growth import exponents
from benchmarks.scale.growth_parts import PARTS, observation_parts
from benchmarks.scale.growth_processes import process_share
from benchmarks.scale.power_law import fit_power_law


def test_the_exponent_and_factor_of_a_power_law_are_found():
    sizes = [64, 128, 256, 1024]
    law = fit_power_law(sizes, [3 * size**1.7 for size in sizes])
    assert law.exponent == pytest.approx(1.7)
    assert law.factor == pytest.approx(3)
    assert law.spread == pytest.approx(0, abs=1e-9)
    assert law(2048) == pytest.approx(3 * 2048**1.7)


def test_the_spread_is_the_standard_error_of_the_slope():
    law = fit_power_law([1, math.e, math.e**2], [1, math.e**2, 1])
    assert law.exponent == pytest.approx(0)
    assert law.spread == pytest.approx(math.sqrt(8 / 3 / 2))
    assert math.isnan(fit_power_law([1, 2], [1, 4]).spread)


def test_another_method_for_many_samples_is_left_out_of_the_exponents():
    rows = [{"N": size, "warm": size, "floors": size**2} for size in (512, 1024)]
    found = exponents("N", [*rows, {"N": 2048, "warm": 2048, "floors": 1}])
    assert found["warm"].exponent == pytest.approx(1)
    assert found["floors"].exponent == pytest.approx(2)


def test_every_part_of_an_observation_is_measured():
    found = observation_parts(n_samples=16, n_layers=2, features=32, ranks=(1, 2))
    assert set(found) == set(PARTS)
    assert found["MiB"] == 16 * (1024 + 2 * 32) * 4 / 2**20


def test_more_processes_receive_no_more_bytes():
    few = process_share(8)
    many = process_share(1000)
    assert many["images"] == 1
    assert many["features"] < few["features"] / 100
    assert many["bytes"] < few["bytes"]
