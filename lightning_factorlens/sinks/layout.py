"""TensorBoard's page "Custom Scalars": a handful of charts, each with the curves that belong together."""

from __future__ import annotations

import re
from collections.abc import Collection

from lightning_factorlens.sinks.tags import PREFIX

#: Category, chart, then the kind of chart and the regexes of its tags: as ``add_custom_scalars`` takes it.
Layout = dict[str, dict[str, list[str | list[str]]]]


def scalar_layout(tags: Collection[str], rank: int, prefix: str = PREFIX, tag_prefix: str = "") -> Layout:
    """Charts over the tags that are there; a chart without any is left out.

    Args:
        tags: As ``summaries`` and ``details`` name them.
        rank: The rank at which layers are compared.
        prefix: What the tags begin with; also the title of the category.
        tag_prefix: What the logger puts before every tag when it writes.

    Returns:
        One category. TensorBoard takes tags as regexes that need only match the beginning, so that
        ``…/layer1`` would draw ``layer10`` too: these are escaped and end in ``$``.
    """
    charts: dict[str, list[str | list[str]]] = {}
    for title, pattern in _patterns(re.escape(prefix), rank).items():
        drawn = [f"{re.escape(tag_prefix + tag)}$" for tag in tags if re.fullmatch(pattern, tag)]
        if drawn:
            charts[title] = ["Multiline", drawn]
    return {prefix: charts} if charts else {}


def _patterns(p: str, rank: int) -> dict[str, str]:
    return {
        "rmse by rank": rf"{p}/rmse/rank_\d+",
        "relative error: NMF beside its SVD floor": rf"({p}|{p}_svd/total)/rel_error/rank_\d+",
        f"relative error per layer, rank {rank}": rf"{p}_layers/.+/rel_error/rank_{rank}",
        "required and effective rank": rf"{p}/(rank_at_\w+pct|effective_rank)",
        "alpha over layers": rf"{p}/mean_alpha|{p}_spectra/.+/alpha",
        "consistency under small shifts": rf"{p}/consistency",
        "cost in seconds": rf"{p}/seconds|{p}_cost/.+",
    }
