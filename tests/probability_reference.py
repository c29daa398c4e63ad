"""The features and the probability once more: slowly, from the whole series so far, in NumPy's float64."""

import numpy as np

WARMUP_EPOCHS, JITTER_WEIGHT, LEAST_JITTER, REPEATS = 5, 0.1, 1e-3, 1e-4


def smoothed(values):
    """S_t = (v_t + s_{t−1}) / 2, but v_t where it repeats the value before."""
    found = [values[0]]
    for before, value in zip(values, values[1:]):
        repeats = abs(value - before) <= REPEATS * abs(value - found[-1])
        found.append(value if repeats else 0.5 * value + 0.5 * found[-1])
    return np.array(found)


def jitter(values):
    """The weighted mean of all changes, by the explicit weight of each: w_k times (1 − w_j) of every later j."""
    changes = np.abs(np.diff(values))
    weights = np.maximum(JITTER_WEIGHT, 1 / np.arange(1, len(changes) + 1))
    total = 0.0
    for k, change in enumerate(changes):
        total += weights[k] * np.prod(1 - weights[k + 1 :]) * change
    return total


def features(values, epochs, max_epochs=None, fall=0.0):
    """The features after the last of some finite values."""
    values = np.asarray(values, dtype=np.float64)
    s = smoothed(values)
    n_warmup = sum(epoch <= WARMUP_EPOCHS for epoch in epochs)
    first = max(0, n_warmup - 1)  # the last measurement of the warm-up is what the later ones are compared with
    lowest = first + int(np.argmin(s[first:]))
    unit = max(jitter(values), LEAST_JITTER * abs(s[-1]))
    rise = (s[-1] - s[lowest]) / unit if unit else 0.0
    found = {"since": np.log(1 + len(s) - 1 - lowest), "rise": np.log(1 + rise), "fall": fall}
    if max_epochs is not None:
        found["share"] = min(1.0, epochs[-1] / max_epochs)
    return found


def probability(numbers, found):
    """The logistic function of the intercept and the weighted features."""
    z = np.float64(numbers["intercept"])
    for name, coefficient in numbers.items():
        if name != "intercept":
            z += coefficient * found[name]
    return 1 / (1 + np.exp(-z))
