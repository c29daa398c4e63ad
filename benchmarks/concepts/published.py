"""The section "What is known" in `docs/concepts.md`, from the committed results of the parts on real data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.reporting import ROOT, markdown_table, replace_section, results_path

PAGE = ROOT / "docs" / "concepts.md"
#: The section of the page that `write_known` replaces.
SECTION = "known"
PARTS = ("late_fit", "clarity", "masks", "single_class", "depth", "other_probe", "utilisation")
#: Values by part, as the parts' JSON files have them.
Values = dict[str, dict[str, Any]]


def write_known() -> None:
    """Writes the section anew; without all results, e.g. of a part that was never run, it stays as it is."""
    if all(results_path("concepts", f"{part}.json").exists() for part in PARTS):
        replace_section(PAGE, SECTION, known(load()))


def load() -> Values:
    """The committed values of all parts."""
    found = {}
    for part in PARTS:
        found[part] = json.loads(results_path("concepts", f"{part}.json").read_text(encoding="utf-8"))["values"]
    return found


def cell(values: dict[str, list[float]], name: str) -> str:
    """Mean (lowest to highest) of a figure."""
    found = [value for value in values[name] if value is not None]
    return f"{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def known(values: Values) -> str:
    """The tables of the section."""
    return "\n\n".join(
        [
            "Mean (lowest to highest) of three training seeds with three probes of 1,000 test images each.",
            purity_table(values),
            masks_table(values),
            depth_table(values),
            single_class_table(values),
        ]
    )


def purity_table(values: Values) -> str:
    """What the top images of a concept have in common, by data set and rank."""
    rows = {
        "purity_late": "concepts, fitted to the last two layers",
        "purity_all": "concepts, fitted to all layers and pixels",
        "purity_untrained": "concepts of the untrained network",
        "purity_kmeans": "cosine k-means, last two layers",
        "purity_pca": "PCA, last two layers",
        "purity_pixels": "NMF of the pixels alone",
        "chance": "random images",
        "spearman_clarity": "Spearman of clarity and purity",
        "concordance_clarity": "pairs of concepts in the same order by both",
        "error_rise": "rise of the relative error over the fit to all",
        "error_rise_last": "the same, fitted to the last layer alone",
    }
    late = values["late_fit"]
    last = {"cifar": "purity_nmf6", "mnist": "purity_nmf2"}
    columns = [("cifar", 10), ("cifar", 20), ("mnist", 10), ("mnist", 20)]
    lines = []
    for name, title in rows.items():
        lines.append([title, *(cell(late[data], f"{name}_{rank}") for data, rank in columns)])
    alone = [cell(late[data], f"{last[data]}_{rank}") for data, rank in columns]
    lines.insert(2, ["NMF of the last layer alone", *alone])
    by_features = [cell(values["clarity"][data], f"features_Spearman_{rank}") for data, rank in columns]
    lines.append(["Spearman of purity and clarity without class scores", *by_features])
    header = ["purity of the 16 top images", "CIFAR-10, rank 10", "rank 20", "MNIST, rank 10", "rank 20"]
    return markdown_table(header, lines)


def masks_table(values: Values) -> str:
    """The confidence of the trained networks on masked top images."""
    names = ("whole", "mask", "inverse", "random", "other")
    rows = []
    for data, title in (("cifar", "CIFAR-10"), ("mnist", "MNIST")):
        for fill, where in (("black", "black"), ("mean", "the mean image")):
            found = [cell(values["masks"][data], f"trained_{fill}_{name}") for name in names]
            rows.append([f"{title}, {where} outside", *found])
    header = ["confidence", "whole image", "mask", "inverse mask", "random half", "another concept's mask"]
    return markdown_table(header, rows)


def depth_table(values: Values) -> str:
    """Similarity by depth, another probe, and the error of class means."""
    depth = values["depth"]["cifar"]
    other = values["other_probe"]
    use = values["utilisation"]
    worst = [max(value) for name, value in use["cifar"].items() if name.startswith("late_") and "largest" in name]
    rows = [
        ["similarity and depth, CIFAR-10, rank 20: Spearman", cell(depth, "all_trained_spearman")],
        ["the same, untrained", cell(depth, "all_untrained_spearman")],
        ["first eigenvalue, first layer", cell(depth, "all_trained_eigenvalue_first")],
        ["first eigenvalue, last layer", cell(depth, "all_trained_eigenvalue_last")],
        ["MNIST before the CIFAR-10 network, rank 10: purity", cell(other, "trained_10")],
        ["the same, untrained", cell(other, "untrained_10")],
        ["the same, cosine k-means", cell(other, "kmeans_10")],
        ["class means from O_j F, rank 20: largest distance of any layer and class", f"{max(worst):.2f}"],
    ]
    return markdown_table(["figure", "value"], rows)


def single_class_table(values: Values) -> str:
    """The network that has seen nines only."""
    found = values["single_class"]
    columns = ("off_diagonal_all", "effective_rank", "mean_nine_all")
    rows = []
    for network, title in (("nine", "the digit 9 only"), ("full", "all digits"), ("untrained", "nothing")):
        rows.append([title, *(cell(found, f"{network}_{column}") for column in columns)])
    header = ["trained on (five seeds)", "similarity, last hidden layer", "effective rank", "factor images and mean 9"]
    return markdown_table(header, rows)
