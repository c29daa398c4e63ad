"""TensorBoard's page "Custom Scalars": a handful of charts, each with the curves that belong together."""

from __future__ import annotations

import re
from collections.abc import Collection

from lightning_factorlens.loggers.tags import PREFIX

#: Category, chart, then the kind of chart and its tags: as ``add_custom_scalars`` takes it.
Layout = dict[str, dict[str, list[str | list[str]]]]


def scalar_layout(tags: Collection[str], rank: int, prefix: str = PREFIX, tag_prefix: str = "") -> Layout:
    """Charts over the tags that are there; a chart without any is left out.

    Args:
        tags: As ``summaries`` and ``details`` name them, and those of other callbacks under the same prefix.
        rank: The rank at which layers are compared.
        prefix: What the tags begin with; also the title of the category.
        tag_prefix: What the logger puts before every tag when it writes.

    Returns:
        One category. TensorBoard takes the tags of a chart of lines as regexes that need only match the beginning,
        so that ``…/layer1`` would draw ``layer10`` too: these are escaped and end in ``$``. Those of a chart with a
        margin (value, lower, upper) it takes as they are.
    """
    charts: dict[str, list[str | list[str]]] = {}
    margin = f"{prefix}/rel_error/rank_{rank}", f"{prefix}_svd/total/rel_error/rank_{rank}"
    for title, pattern in _patterns(re.escape(prefix), rank).items():
        drawn = [f"{re.escape(tag_prefix + tag)}$" for tag in tags if re.fullmatch(pattern, tag)]
        if drawn:
            charts[title] = ["Multiline", drawn]
        if title.startswith("relative error by rank") and set(margin) <= set(tags):
            value, floor = (tag_prefix + tag for tag in margin)
            charts[f"NMF above its SVD floor (shaded), rank {rank}"] = ["Margin", [value, floor, value]]
    return {prefix: charts} if charts else {}


def _patterns(p: str, rank: int) -> dict[str, str]:
    """Regex of the tags by chart; first what a stop may use, then the factorisation, the weights, the cost."""
    return {
        "consistency under small shifts, nats": rf"{p}/consistency",
        "stop score and decision": rf"{p}/(\w+_score|should_\w+)",
        "best epoch so far, by the stopping rule": rf"{p}/\w+_best_epoch",
        "rank at a given error, and effective rank": rf"{p}/(rank_at_\w+pct|effective_rank)",
        "relative error by rank, ‖X − X̂‖ / ‖X‖": rf"{p}/rel_error/rank_\d+",
        f"relative error per layer, rank {rank}": rf"{p}_layers/.+/rel_error/rank_{rank}",
        "rmse by rank, units of the activations": rf"{p}/rmse/rank_\d+",
        "α of each layer, and their mean": rf"{p}/mean_alpha|{p}_spectra/.+/alpha",
        "neuron similarity per layer, mean cosine": rf"{p}_similarity/.+/off_diagonal",
        "cost of the lens, seconds a look": rf"{p}/seconds|{p}_cost/.+",
    }
