"""Compares observations digit by digit."""

import json

import torch


def flatten(value):
    """Every leaf of a record, numbers as their digits: NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(value, torch.Tensor):
        return ("tensor", str(value.dtype), tuple(value.shape), repr(value.tolist()))
    if hasattr(value, "__dataclass_fields__"):
        return [(name, flatten(getattr(value, name))) for name in value.__dataclass_fields__]
    if isinstance(value, dict):
        return {name: flatten(v) for name, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [flatten(v) for v in value]
    return float.hex(value) if isinstance(value, float) else value


def kept(observation):
    """What a line of JSON promises to keep: everything but inputs, factors and cosine matrices."""
    light = dict(flatten(observation.without_tensors()))
    spectra, similarity = observation.get("weight_spectra"), observation.get("neuron_similarity")
    eigenvalues = [] if similarity is None else [flatten(s.eigenvalues) for s in similarity.layers]
    return {**light, "spectra": flatten(spectra), "eigenvalues": eigenvalues}


def strict_json(line):
    """Parses JSON that has no NaN or Infinity, which the standard does not know."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)
