"""The spectra of an observation are read by the names of the layers."""

import pytest
from observations import make_observation


def test_a_spectrum_is_read_by_its_layer_and_its_repr_prints_no_eigenvalues():
    spectra = make_observation(1)["weight_spectra"]
    spectrum = spectra.layers[-1]
    assert spectra[spectrum.layer] is spectrum
    assert repr(spectrum).startswith(f"LayerSpectrum({spectrum.layer!r}, mode='w1', shape=")
    assert "tensor(" not in repr(spectra)
    with pytest.raises(KeyError, match="no spectrum of a layer 'fc9'; there are those of"):
        spectra["fc9"]
