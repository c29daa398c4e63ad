"""What an observation was made of and with, in its line and in that of a run."""

from dataclasses import replace

from small_lens import lens_with, make_net, make_probe

from lightning_factorlens import FactorLens
from lightning_factorlens.batches.batch import fingerprint
from lightning_factorlens.measurements import Consistency, EffectiveRank, Measurement, WeightSpectra
from lightning_factorlens.results import Setup
from lightning_factorlens.results.serialization import from_json, to_json


class WithOption(Measurement):
    """Has an option without a ``repr`` of its own, or with one that fails."""

    name = "with_option"

    def __init__(self, fails):
        self.fails = fails

    def __repr__(self):
        if self.fails:
            raise RuntimeError
        return super().__repr__()

    def measure(self, context):
        return {"a": 1.0}


def test_an_observation_says_with_what_it_was_made():
    probe = make_probe()
    observation = FactorLens(make_net(), ranks=(1, 4), weighting="raw", outputs="classes").observe(probe)
    setup = observation.setup
    assert (setup.model, setup.n_samples, setup.sample_shape, setup.ranks) == ("SmallNet", 16, (1, 8, 8), (1, 4))
    assert setup.probe == fingerprint(probe)
    assert (setup.n_layers, setup.outputs, setup.options) == (2, "classes", {"weighting": "'raw'"})
    assert setup.measurements["consistency"] == "Consistency(shift=None)"
    assert from_json(to_json(observation)).setup == setup
    for changed in (observation.condensed(), observation.without_tensors(), observation.with_record("a", None)):
        assert changed.setup == setup


def test_two_equal_lenses_have_equal_setups_and_others_do_not():
    def setup(probe, *measurements):
        return lens_with(*measurements).observe(probe).setup

    probe = make_probe()
    assert setup(probe, EffectiveRank()) == setup(probe.clone(), EffectiveRank())
    assert setup(probe, EffectiveRank()).probe != setup(probe + 1e-6, EffectiveRank()).probe
    assert setup(probe, Consistency(1)).measurements != setup(probe, Consistency(2)).measurements
    assert setup(probe, WithOption(False)) == setup(probe, WithOption(False))
    assert setup(probe, WithOption(True)).measurements == {}


def test_the_weights_alone_have_no_probe():
    setup = lens_with(WeightSpectra()).observe(make_probe()).setup
    assert (setup.n_samples, setup.sample_shape, setup.probe, setup.layers, setup.ranks) == (0, (), "", "", ())


def test_a_completed_observation_names_the_measurements_of_both():
    early = lens_with(WeightSpectra()).observe(make_probe())
    late = lens_with(Consistency()).observe(make_probe())
    assert set(early.completed_by(late, ()).setup.measurements) == {"weight_spectra", "consistency"}


def test_a_setup_of_a_later_or_an_earlier_version_is_read():
    observation = replace(lens_with(EffectiveRank()).observe(make_probe()), setup=Setup("9.0", n_samples=3))
    line = to_json(observation)
    assert from_json(line.replace('"n_samples":3', '"later":[1]')).setup == Setup("9.0")
    assert '"setup"' not in to_json(replace(observation, setup=None))
    assert from_json(to_json(replace(observation, setup=None))).setup is None
