"""Plain ASCII for any terminal: which layers are kept and why, an epoch in a line, and what a run came to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.loggers.tags import PREFIX
from lightning_factorlens.loggers.text_reports import summary_rows
from lightning_factorlens.results import LayerInfo, Observation

#: Longest name and operation printed whole.
NAME, OP = 40, 24


def layer_table(choices: Sequence[LayerInfo]) -> str:
    """Which tensors of the forward pass are factorised, which are not, and why.

    Args:
        choices: One a tensor; kept ones come first, otherwise in the order given.

    Returns:
        Aligned lines; the last counts what is kept and its features an image.
    """
    header = ("", "name", "op", "shape", "min", "", "reason")
    rows = [_row(choice) for choice in sorted(choices, key=lambda choice: not choice.selected)]
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [_aligned(row, widths) for row in (header, tuple("-" * width for width in widths), *rows)]
    kept = [choice for choice in choices if choice.selected]
    features = sum(math.prod(choice.shape) for choice in kept)
    return "\n".join([*lines, f"kept {len(kept)} of {len(choices)} tensors, {features:,} features an image"])


def epoch_line(observation: Observation, ranks: Sequence[int] = (1, 8, 32)) -> str:
    """One observation in one line.

    Args:
        observation: What the look found; what it lacks is left out.
        ranks: Ranks whose relative error is shown; those not tried are passed over.

    Returns:
        A line such as ``epoch 3 | rel. error 0.81, 0.42 at rank 1, 8 | rank@30% 5.2 | …``.
    """
    curve = observation.curves["total"]
    error = dict(zip(curve.ranks, curve.rel_error))
    tried = [rank for rank in ranks if rank in error]
    parts = [f"epoch {observation.epoch}"]
    if tried:
        errors = ", ".join(f"{error[rank]:.3f}" for rank in tried)
        parts.append(f"rel. error {errors} at rank {', '.join(map(str, tried))}")
    for required in observation.required_ranks:
        rank = f"> {required.rank:g}" if required.is_lower_bound else f"{required.rank:.1f}"
        parts.append(f"rank@{100 * required.tau:.4g}% {rank}")
    if "total" in observation.effective_rank:
        parts.append(f"effective rank {observation.effective_rank['total']:.1f}")
    if observation.consistency is not None:
        parts.append(f"consistency {observation.consistency:.4f}")
    if observation.alpha is not None:
        parts.append(f"mean alpha {observation.alpha.mean_alpha:.2f}")
    if "total" in observation.seconds:
        share = "" if observation.overhead is None else f" ({100 * observation.overhead:.1f}% of the time)"
        parts.append(f"{observation.seconds['total']:.2f} s{share}")
    return " | ".join(parts)


def run_table(history: Sequence[Observation], prefix: str = PREFIX, most: int = 10) -> str:
    """What a run came to, as TensorBoard's result card says it: first look, that of the lowest consistency, last.

    Args:
        history: Observations of one run, oldest first, at least one.
        prefix: What the tags begin with.
        most: Lines; the last of more rank@τ are left out.

    Returns:
        Aligned lines.
    """
    looks, values = summary_rows(history, prefix)
    rows = [(tag, *(_number(v) for v in row)) for tag, row in values.items()]
    while len(rows) > most - 2:
        rows.pop(-3)  # the last rank@τ: effective rank and mean α stand below
    return "\n".join(format_table(("", *(name for name, _ in looks)), rows))


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A header, a rule and the rows: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [header, ["-" * width for width in widths], *rows]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]).rstrip()
        for line in lines
    ]


def shorten(name: str, width: int) -> str:
    """``name`` in at most ``width`` characters, its middle left out: both ends tell layers apart."""
    if len(name) <= width:
        return name
    head = (width - 3) // 2
    return f"{name[:head]}...{name[len(name) - (width - 3 - head) :]}"


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _row(choice: LayerInfo) -> tuple[str, ...]:
    return (
        "*" if choice.selected else "",
        shorten(choice.name, NAME),
        shorten(choice.op, OP),
        "x".join(map(str, choice.shape)) or "scalar",
        f"{choice.minimum:.3g}",
        "kept" if choice.selected else "skipped",
        choice.reason,
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """Numbers to the right, words to the left."""
    cells = [cell.rjust(width) if k == 4 else cell.ljust(width) for k, (cell, width) in enumerate(zip(row, widths))]
    return "  ".join(cells).rstrip()
