"""What tells a trained network from an untrained one: the between-class share of the signals, and the leading mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.hierarchy.cases import (
    ANIMALS_AND_VEHICLES,
    CASES,
    CIFAR_NAMES,
    PER_CLASS,
    NetworkCase,
    Pair,
    case_images,
    pairs,
    pixel_signals,
    spread,
    table_of,
)
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens.hierarchy import class_share, semantic_structure
from lightning_factorlens.results import Signals

#: Permutations of the labels behind every share.
PERMUTATIONS = 200
STATES = ("trained", "untrained")


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures all networks."""
    sections = []
    payload: dict[str, Any] = {}
    figures = []
    for name, case in CASES.items():
        images, labels = case_images(name, data_dir)
        found = [_measure_pair(pair, case, labels) for pair in pairs(name, data_dir, quick)]
        pixels = _measure_signals(pixel_signals(images), case, labels)
        payload[name] = {"seeds": found, "pixels": pixels}
        sections.append(_section(case, found, pixels))
        figures += _figures(name, case, found)
    text = (
        "## Structure\n\n`python -m benchmarks.hierarchy --parts structure`. "
        f"{PER_CLASS} test images of each class. Between-class share of the signals' variance with the true classes, "
        "and with those that the network predicts itself; in brackets, the 95 % quantile with permuted labels. |r|: "
        "correlation of the leading class mode with animals against vehicles. Lowest and highest value of all "
        "seeds.\n\n" + "\n\n".join(sections)
    )
    return Measured(text, payload, figures)


def _measure_pair(pair: Pair, case: NetworkCase, labels: Tensor) -> dict[str, Any]:
    """All numbers of one seed."""
    found: dict[str, Any] = {"seed": pair.seed, "accuracy": pair.trained.accuracy, "layers": {}}
    for layer in case.layers:
        numbers = {}
        for name in STATES:
            state = getattr(pair, name)
            numbers[name] = _measure_signals(state.signals[layer], case, labels)
            numbers[name]["predicted_share"] = _share(state.signals[layer], state.predictions)["share"]
        found["layers"][layer] = numbers
    return found


def _measure_signals(signals: Signals, case: NetworkCase, labels: Tensor) -> dict[str, Any]:
    """The share and, for animals and vehicles, the correlation of the leading mode with its p-value."""
    found: dict[str, Any] = _share(signals, labels)
    if case.names == CIFAR_NAMES:
        words = [CIFAR_NAMES[label] for label in labels.tolist()]
        structure = semantic_structure(signals, words, ANIMALS_AND_VEHICLES)
        found["correlation"] = structure.correlation
        found["p_value"] = structure.p_value
    return found


def _share(signals: Signals, labels: Tensor) -> dict[str, Any]:
    if len(labels.unique()) < 2:
        return {"share": 0.0, "null": 0.0}
    share = class_share(signals, labels, PERMUTATIONS)
    return {"share": share.share, "null": float(share.permuted.quantile(0.95))}


def _section(case: NetworkCase, seeds: list[dict[str, Any]], pixels: dict[str, Any]) -> str:
    """The table of one network."""
    has_groups = "correlation" in pixels
    header = ["layer", "trained", "untrained", "lowest ratio", "predicted classes, trained", "untrained"]
    if has_groups:
        header += ["\\|r\\|, trained", "untrained"]
    rows = []
    for layer in case.layers:
        numbers = {state: [found["layers"][layer][state] for found in seeds] for state in STATES}
        row = [f"`{layer}`", _with_null(numbers["trained"]), _with_null(numbers["untrained"])]
        row.append(f"{_lowest_ratio(seeds, layer):.2f}")
        row += [spread([each["predicted_share"] for each in numbers[state]]) for state in STATES]
        if has_groups:
            row += [spread([each["correlation"] for each in numbers[state]]) for state in STATES]
        rows.append(row)
    row = ["pixels", _with_null([pixels]), "", "", "", ""]
    if has_groups:
        row += [f"{pixels['correlation']:.2f}", ""]
    accuracy = spread([found["accuracy"] for found in seeds])
    title = f"### {case.title}\n\n{len(seeds)} seeds; accuracy {accuracy}.\n\n"
    return title + table_of(header, [*rows, row])


def _with_null(numbers: list[dict[str, Any]]) -> str:
    null = max(each["null"] for each in numbers)
    return f"{spread([each['share'] for each in numbers])} ({null:.3f})"


def _lowest_ratio(seeds: list[dict[str, Any]], layer: str) -> float:
    """The smallest ratio of the trained to the untrained share of the same seed."""
    ratios = []
    for found in seeds:
        numbers = found["layers"][layer]
        ratios.append(numbers["trained"]["share"] / numbers["untrained"]["share"])
    return min(ratios)


def _figures(name: str, case: NetworkCase, seeds: list[dict[str, Any]]) -> list[Figure]:
    figures = []
    for layer in case.claimed:
        title = f"hierarchy_{name}_{layer.replace('.', '_')}"
        figures.append(Figure(f"{title}_share_ratio", _lowest_ratio(seeds, layer), 2.0))
        trained = [found["layers"][layer]["trained"] for found in seeds]
        if "correlation" in trained[0]:
            figures.append(Figure(f"{title}_mode_r", min(each["correlation"] for each in trained), 0.9))
    return figures
