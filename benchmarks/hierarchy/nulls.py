"""The sizes of hierarchies beside untrained weights, permuted labels, resamples and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.hierarchy.cases import CASES, PER_CLASS, NetworkCase, P, Pair, Q, case_images, pairs, spread, table_of
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens.hierarchy import Hierarchy, hierarchy, seed_agreement, significance
from lightning_factorlens.hierarchy.nulls import sizes_table
from lightning_factorlens.results import Signals
from lightning_factorlens.results.hierarchy_evidence import SIZES

#: Permutations of the labels, and resamples of the images.
PERMUTATIONS = 100
RESAMPLES = 40
#: Permutations whose hierarchies are resampled too.
PERMUTED_RESAMPLES = 5


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures all networks."""
    resamples = 20 if quick else RESAMPLES
    sections = []
    payload: dict[str, Any] = {}
    n_told = 0
    n_sizes = 0
    n_seeds = []
    for name, case in CASES.items():
        labels = case_images(name, data_dir)[1]
        found = [_measure_pair(pair, case, labels, resamples) for pair in pairs(name, data_dir, quick)]
        layers = {layer: _summary(layer, found) for layer in case.layers}
        payload[name] = layers
        sections.append(_section(case, layers))
        n_told += sum(summary["is_told_from_untrained"] for summary in layers.values())
        n_sizes += len(layers)
        n_seeds.append(len(found))
    text = (
        f"## Nulls\n\n`python -m benchmarks.hierarchy --parts nulls`. q = {Q}, p = {P}, {PER_CLASS} test images of "
        "each class, true classes. Nodes, classes of vectors and depth: lowest to highest over "
        f"{min(n_seeds)} seeds. Permuted: the mean over {PERMUTATIONS} permutations of the labels, of the seed with "
        f"the largest mean. Resamples: lowest to highest over {resamples} bootstrap resamples of each seed. Stable: "
        "classes of vectors that are found in 95 % of the resamples. Seeds: mean Jaccard index of the sets of classes "
        "between seeds, beside that of permuted names. Told from untrained: whether a size lies, for every seed, "
        "outside of what the untrained networks and their resamples have.\n\n"
        + "\n\n".join(sections)
        + f"\n\nOf {n_sizes} layers, {n_told} have a size that tells the trained from the untrained networks."
    )
    figures = [
        Figure("hierarchy_resamples_beside_every_size", resamples, 20),
        Figure("hierarchy_seeds_beside_every_size", min(n_seeds), 3),
    ]
    return Measured(text, payload, figures)


def _measure_pair(pair: Pair, case: NetworkCase, labels: Tensor, resamples: int) -> dict[str, Any]:
    """For every layer of one seed: both hierarchies, and the nulls."""
    found = {}
    for layer in case.layers:
        trained = _hierarchy(pair.trained.signals[layer], labels, case)
        untrained = _hierarchy(pair.untrained.signals[layer], labels, case)
        found[layer] = {
            "trained": trained,
            "untrained": untrained,
            "null": trained.null(PERMUTATIONS),
            "stability": trained.stability(resamples, permutations=PERMUTED_RESAMPLES),
            "untrained_resamples": untrained.stability(resamples, permutations=0).sizes,
        }
    return found


def _hierarchy(signals: Signals, labels: Tensor, case: NetworkCase) -> Hierarchy:
    return hierarchy(significance(signals, Q), labels, P, names=case.names)


def _summary(layer: str, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one layer over all seeds."""
    found = [seed[layer] for seed in seeds]
    trained = [each["trained"] for each in found]
    agreement = seed_agreement(trained) if len(trained) > 1 else None
    observed = sizes_table([each.sizes for each in trained])
    untrained = sizes_table([each["untrained"].sizes for each in found])
    of_untrained = torch.cat([untrained, *(each["untrained_resamples"] for each in found)])
    resamples = torch.cat([each["stability"].sizes for each in found])
    summary = {
        "sizes": list(SIZES),
        "trained": observed.tolist(),
        "untrained": untrained.tolist(),
        "undecided": [each.undecided for each in trained],
        "memberships": [each.memberships for each in trained],
        "permuted": torch.stack([each["null"].permuted.mean(0) for each in found]).amax(0).tolist(),
        "resamples": [resamples.amin(0).tolist(), resamples.amax(0).tolist()],
        "stable": [each["stability"].survivors for each in found],
        "permuted_stable": [max(each["stability"].permuted_survivors, default=0) for each in found],
        "is_told_from_untrained": _is_told(observed, of_untrained),
    }
    if agreement is not None:
        summary["jaccard"] = agreement.mean
        summary["jaccard_by_chance"] = agreement.chance
    return summary


def _is_told(trained: Tensor, untrained: Tensor) -> bool:
    """Whether some size of all trained networks lies beyond every one of the untrained, on the same side."""
    is_above = trained.amin(0) > untrained.amax(0)
    is_below = trained.amax(0) < untrained.amin(0)
    return bool((is_above | is_below).any())


def _section(case: NetworkCase, layers: dict[str, Any]) -> str:
    header = ["layer", "", "trained", "untrained", "permuted", "resamples", "stable", "seeds", "told from untrained"]
    rows = []
    for layer, found in layers.items():
        for index, name in enumerate(SIZES.values()):
            low, high = (values[index] for values in found["resamples"])
            row = [f"`{layer}`" if index == 0 else "", name]
            row += [spread([sizes[index] for sizes in found[state]], 0) for state in ("trained", "untrained")]
            row += [f"{found['permuted'][index]:.1f}", f"{low:.0f} to {high:.0f}"]
            row += _once(found) if index == 0 else ["", "", ""]
            rows.append(row)
    return f"### {case.title}\n\n" + table_of(header, rows)


def _once(found: dict[str, Any]) -> list[str]:
    """The cells that a layer has once."""
    stable = f"{spread(found['stable'], 0)}; permuted {max(found['permuted_stable'])}"
    jaccard = ""
    if "jaccard" in found:
        jaccard = f"{found['jaccard']:.2f}; permuted {found['jaccard_by_chance']:.2f}"
    return [stable, jaccard, "yes" if found["is_told_from_untrained"] else "no"]
