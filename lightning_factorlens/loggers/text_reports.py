"""Two cards for TensorBoard's page "Text": how to read every curve and picture, and what this run came to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.loggers.tags import PREFIX, percent
from lightning_factorlens.results import Observation

#: Curve, what it is, how to read it; {p} is the prefix.
CURVES = (
    (
        "{p}/consistency",
        "Cross-entropy of the answers to slightly shifted images against what the network has been saying of the "
        "images themselves, plus how unevenly it answers. Nats.",
        "Lower is better. It falls while the network learns. Where it keeps rising, suspect the network of memorising; "
        "a small rise that levels off is no alarm. Demo: 1.07 at epoch 11, then up to 1.55 at epoch 30; with right "
        "labels 0.49 at epoch 14, then level at 0.6.",
    ),
    (
        "{p}/rel_error/rank_r",
        "How much of all inputs and activations r shared non-negative components leave unexplained: ‖X − X̂‖ / ‖X‖.",
        "0 is all explained, 1 is nothing. It rises while the network learns to tell inputs apart, and keeps rising "
        "when it memorises: rank is not quality. Demo: at rank 8 from 0.2 to 0.4, with right labels level at 0.3.",
    ),
    (
        "{p}_svd/total/…",
        "The same of the truncated SVD, which no factorisation with so many components can pass.",
        "The shaded gap between the two is what non-negativity costs. A gap that jumps says: solver not at rest.",
    ),
    (
        "{p}/rank_at_…pct",
        "Components needed to get down to that relative error; `_capped` = 1: more than the largest rank tried.",
        "Higher: inputs are told apart more finely. A network that learns settles; one that learns wrong labels by "
        "heart keeps climbing. Demo, at 30 %: still climbing at 28 after epoch 30; with right labels level at 7 from "
        "epoch 6 on.",
    ),
    ("{p}/effective_rank", "exp of the entropy of the singular values (RankMe).", "As rank at a given error."),
    (
        "{p}/rmse/rank_r",
        "The error of r components in the units of the activations.",
        "It grows with the activations; read it beside `{p}_total/rms`.",
    ),
    (
        "{p}/mean_alpha",
        "Mean over layers of `{p}_spectra/<layer>/alpha`: the exponent of the power law fitted to the eigenvalues of "
        "a layer's weight.",
        "It falls while a layer learns and settles near 2. Below about 20 eigenvalues it is noise. "
        "Demo: the mean goes from 5.6 to 1.8, with right labels to 2.1.",
    ),
    (
        "{p}/alpha_hat",
        "Sum over layers of α times the logarithm of the largest eigenvalue; `mean_alpha_hat` is their mean.",
        "Mostly a clock: weights grow while they are trained.",
    ),
    (
        "{p}_similarity/<layer>/…",
        "Mean cosine between the neurons of two components; mean of the first K eigenvalues of those cosines.",
        "Cosine 0 and eigenvalues 1: every component has neurons of its own. Demo, with right labels: 0.67, 0.52 and "
        "0.48 from the first layer to the last.",
    ),
    ("{p}/stop_…", "Score and verdict of a stopping rule, where one is used.", "See the rule's own description."),
    (
        "{p}/seconds",
        "What a look cost; `share`: of the time since the last, `{p}_cost/…`: by phase.",
        "Look less often to pay less: `every_n_epochs`.",
    ),
)  # fmt: skip
#: Picture, how to read it.
PICTURES = (
    ("1_course", "Consistency over epochs; the diamond is its lowest epoch. Below, rank@τ: level, or climbing?"),
    ("2_rank_curve", "Error against rank, past epochs fading. The higher the curve, the finer inputs are told apart."),
    ("3_latent_images", "What each component looks like at the input, beside the probe images that load most on it."),
    ("4_hidden_layers", "Where the same components have their neurons, in their strongest channels of some layers."),
    ("5_similarity", "Which components share neurons, layer by layer. A bright diagonal alone: none do."),
    ("6_alpha", "α over depth and over epochs: which layers have settled, and which still move."),
    ("7_spectra", "The eigenvalues of a layer's weight, and the power law fitted to their tail."),
    ("Projector", "Every probe image where the components put it; colour it by its strongest component."),
)


def metric_guide(prefix: str = PREFIX) -> str:
    """How to read it all, in Markdown. The examples are the demo's, ``examples/digits.py``."""
    curves = [tuple(cell.replace("{p}", prefix) for cell in row) for row in CURVES]
    return "\n\n".join(
        [
            "### How to read this",
            "A fixed probe of unlabeled images goes through the network. Inputs and activations of all layers are "
            "written together as a sum of a few non-negative components: each has a latent image at the input, neurons "
            "in every layer, and a load on every probe image. No label is used. *Demo* is `examples/digits.py`: "
            "600 handwritten digits, 40 % of their labels drawn at random, 30 epochs (`--compare`).",
            _table(("curve", "what it is", "how to read it"), [(f"`{tag}`", what, how) for tag, what, how in curves]),
            _table(("picture", "how to read it"), [(f"`{name}`", how) for name, how in PICTURES]),
        ]
    )


def best_observation(history: Sequence[Observation]) -> Observation | None:
    """The look at which consistency was lowest so far; None where it was never known."""
    known = [o for o in history if o.consistency is not None and math.isfinite(o.consistency)]
    return min(known, key=lambda o: o.consistency or 0.0) if known else None


def summary_rows(
    history: Sequence[Observation], prefix: str = PREFIX
) -> tuple[list[tuple[str, Observation]], dict[str, list[float | None]]]:
    """What `result_card` and the terminal show of a run: three looks under their names, and their values by tag.

    Args:
        history: Observations of one run, oldest first, at least one.
        prefix: What the tags begin with.
    """
    first, last = history[0], history[-1]
    best = best_observation(history) or last
    looks = [(f"{what}, epoch {o.epoch}", o) for what, o in (("first", first), ("lowest", best), ("last", last))]
    rows: dict[str, list[float | None]] = {f"{prefix}/consistency": [o.consistency for _, o in looks]}
    for k, required in enumerate(last.required_ranks):
        tag = f"{prefix}/rank_at_{percent(required.tau)}pct"
        rows[tag] = [o.required_ranks[k].rank if k < len(o.required_ranks) else None for _, o in looks]
    rows[f"{prefix}/effective_rank"] = [o.effective_rank.get("total") for _, o in looks]
    rows[f"{prefix}/mean_alpha"] = [o.alpha.mean_alpha if o.alpha else None for _, o in looks]
    return looks, rows


def run_summary(history: Sequence[Observation], prefix: str = PREFIX) -> str:
    """What a run came to: its first look, that of the lowest consistency, and its last side by side, in Markdown.

    Args:
        history: Observations of one run, oldest first, at least one.
        prefix: What the tags begin with.
    """
    last, known = history[-1], best_observation(history)
    looks, rows = summary_rows(history, prefix)
    cells = [(f"`{tag}`", *map(_number, values)) for tag, values in rows.items()]
    words = "### What this run came to"
    if known and last.epoch > known.epoch:
        words += f"\n\nConsistency was lowest at epoch {known.epoch}, {last.epoch - known.epoch} epochs before the end."
    elif known:
        words += f"\n\nConsistency was still at its lowest when the run ended, after epoch {last.epoch}."
    return f"{words}\n\n{_table(('', *(name for name, _ in looks)), cells)}"


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; bars inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
