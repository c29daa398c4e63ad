"""What differs between the ways in which runs and checkpoints were measured, and which numbers that affects."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from lightning_factorlens.measurements import Measurement
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import Setup

#: Digits of a fingerprint that are shown.
SHOWN_DIGITS = 8
#: Needs of measurements that read the probe's samples.
PROBE_NEEDS = frozenset({"capture", "class_scores", "factorization", "forward", "gradients", "outputs"})
#: Needs of measurements that read the activations of the captured layers.
LAYER_NEEDS = frozenset({"capture", "factorization", "gradients"})


@dataclass(frozen=True)
class Aspect:
    """One part of a setup in which two may differ.

    Attributes:
        name: What it is called in a table.
        value: The part that is compared; None where the setup has none.
        words: The part in words.
        needs: Needs of the measurements whose numbers it affects; None for all measurements.
        consequence: What a difference means.
    """

    name: str
    value: Callable[[Setup], Hashable]
    words: Callable[[Setup], str]
    needs: frozenset[str] | None
    consequence: str


@dataclass(frozen=True)
class Difference:
    """A part in which the setups of several subjects differ.

    Attributes:
        name: What it is called in a table.
        sentence: What each has, and what follows.
        needs: Needs of the measurements whose numbers it affects; None for all measurements.
        measurements: Names of single measurements that it affects.
    """

    name: str
    sentence: str
    needs: frozenset[str] | None = frozenset()
    measurements: frozenset[str] = frozenset()

    def affects(self, measurement: Measurement) -> bool:
        """Whether the numbers of a measurement may not be compared because of it.

        Args:
            measurement: The measurement.
        """
        if self.needs is None or measurement.name in self.measurements:
            return True
        return bool(self.needs & (measurement.needs | measurement.uses))


def _samples(setup: Setup) -> str:
    return f"{setup.samples_text} (fingerprint {setup.probe[:SHOWN_DIGITS]})"


def _options(setup: Setup) -> str:
    texts = [f"{name} {text}" for name, text in sorted(setup.options.items())]
    return ", ".join(texts) or "the default ones"


ASPECTS = (
    Aspect(
        "class of the model",
        lambda setup: setup.model or None,
        lambda setup: setup.model,
        None,
        "Where these are different networks, none of their numbers belong on one scale.",
    ),
    Aspect(
        "samples",
        lambda setup: (setup.n_samples, setup.sample_shape, setup.probe) if setup.probe else None,
        _samples,
        PROBE_NEEDS,
        "Consistency, stop signals, ranks, errors and concepts depend on the samples, so that a difference may come "
        "from these alone; α and the other numbers of the weights do not.",
    ),
    Aspect(
        "layers",
        lambda setup: (setup.n_layers, setup.layers) if setup.layers else None,
        lambda setup: f"{setup.n_layers} layers (fingerprint {setup.layers[:SHOWN_DIGITS]})",
        LAYER_NEEDS,
        "Ranks, errors and effective ranks are those of the captured layers together.",
    ),
    Aspect(
        "ranks",
        lambda setup: setup.ranks or None,
        lambda setup: ", ".join(map(str, setup.ranks)),
        frozenset({"factorization"}),
        "Errors are compared at ranks that all have; required ranks lie between the ranks that were fitted.",
    ),
    Aspect(
        "options",
        lambda setup: tuple(sorted(setup.options.items())),
        _options,
        LAYER_NEEDS,
        "These options of the lens change ranks and errors.",
    ),
    Aspect(
        "reading of the output",
        lambda setup: setup.outputs if setup.outputs not in ("", "unknown") else None,
        lambda setup: setup.outputs,
        frozenset({"class_scores", "outputs"}),
        "Consistency and stop signals depend on what the output is read as.",
    ),
    Aspect(
        "version",
        lambda setup: setup.version or None,
        lambda setup: setup.version,
        frozenset(),
        "The changelog says whether a number has changed between versions.",
    ),
)


def setup_of(subject: Subject) -> Setup | None:
    """The setup of the last observation of a subject that has the most measurements; None where none is recorded.

    Args:
        subject: A run or a checkpoint.
    """
    known = [observation for observation in subject.history if observation.setup is not None]
    if not known or subject.history[-1].setup is None:
        return None
    full = [observation for observation in known if observation.is_full]
    return (full or known)[-1].setup


def differences(subjects: Sequence[Subject]) -> list[Difference]:
    """The parts in which the setups of subjects differ, each with what follows from it.

    Args:
        subjects: At least two. Those without a recorded setup are left out, see `unknown_setups`.
    """
    setups = {}
    for subject in subjects:
        setup = setup_of(subject)
        if setup is not None:
            setups[subject.name] = setup
    found = []
    for aspect in ASPECTS:
        words = {}
        values = set()
        for name, setup in setups.items():
            if aspect.value(setup) is not None:
                words[name] = aspect.words(setup)
                values.add(aspect.value(setup))
        if len(values) > 1:
            sentence = f"{_listed(words)}. {aspect.consequence}"
            found.append(Difference(aspect.name, sentence, aspect.needs))
    return found + _measurement_differences(setups)


def reason_against(measurement: Measurement, found: Sequence[Difference]) -> str:
    """Why the numbers of a measurement may not be compared; empty where they may.

    Args:
        measurement: The measurement.
        found: From `differences`.
    """
    return ", ".join(difference.name for difference in found if difference.affects(measurement))


def unknown_setups(subjects: Sequence[Subject]) -> list[str]:
    """The names of subjects of which it is not recorded how they were measured.

    Args:
        subjects: Runs or checkpoints.
    """
    return [subject.name for subject in subjects if setup_of(subject) is None]


def _measurement_differences(setups: Mapping[str, Setup]) -> list[Difference]:
    """The measurements that were made with other options."""
    by_measurement: dict[str, dict[str, str]] = {}
    for name, setup in setups.items():
        for measurement, text in setup.measurements.items():
            by_measurement.setdefault(measurement, {})[name] = text
    found = []
    for measurement, texts in by_measurement.items():
        if len(set(texts.values())) > 1:
            sentence = f"{_listed(texts)}. Its numbers are those of different options."
            found.append(Difference(f"options of {measurement}", sentence, measurements=frozenset({measurement})))
    return found


def _listed(words: Mapping[str, str]) -> str:
    """What each subject has; subjects that have the same are named together."""
    names: dict[str, list[str]] = {}
    for name, text in words.items():
        names.setdefault(text, []).append(name)
    return "; ".join(f"{' and '.join(found)}: {text}" for text, found in names.items())


def course_changes(subject: Subject) -> str:
    """What has changed between the observations of one run, in a sentence; empty where nothing has.

    Args:
        subject: A run or a checkpoint.
    """
    probes = [(observation.epoch, observation.setup) for observation in subject.history if observation.setup]
    epochs = []
    last = None
    for epoch, setup in probes:
        if not setup.probe:
            continue
        if last is not None and setup.probe != last:
            epochs.append(epoch)
        last = setup.probe
    if not epochs:
        return ""
    if len(epochs) > 1 and len(epochs) >= (len(probes) - 1) / 2:
        return (
            "The observations were made on different samples (as with resample_probe), so that the course has the "
            "noise of the samples too."
        )
    listed = ", ".join(map(str, epochs))
    return (
        f"The samples of the probe changed at epoch {listed}: what comes before and after is not one course. A fixed "
        "seed of the validation split, or a tensor as the probe, keeps them."
    )
