"""``factorlens hierarchy``: which singular vectors of a layer serve which classes, beside what chance gives."""

from __future__ import annotations

import sys
from typing import Any

from lightning_factorlens.cli.arguments import (
    add_json,
    add_lens_arguments,
    lens_of,
    make_lens,
    make_samples,
    print_json,
    run_lens,
    save_figure,
)
from lightning_factorlens.cli.command import Command
from lightning_factorlens.cli.model_source import build_untrained
from lightning_factorlens.hierarchy import hierarchy_report
from lightning_factorlens.results import HierarchyReport, Signals

#: Networks with random weights beside which the hierarchy is shown.
N_UNTRAINED = 3


def _add_arguments(parser: Any) -> None:
    """Declares the arguments."""
    add_lens_arguments(parser)
    parser.add_argument("--layer", type=str, required=True, help="name of a convolution or linear layer")
    parser.add_argument("--q", type=float, default=0.9, help="quantile above which a signal is significant")
    parser.add_argument("--p", type=float, default=0.75, help="share of a class's samples that makes a vector its own")
    parser.add_argument("--output", type=str, default=None, help="picture (.png, .svg, .pdf) of the Hasse diagram")
    add_json(parser)


def _run(words: Any) -> None:
    """Runs the command."""
    report = run_lens(_report, words)
    if words.output is not None:
        from lightning_factorlens.plots import hasse_figure

        save_figure(hasse_figure(report), words.output, "no vector is significant for a class")
    if words.json:
        print_json({"values": {value.quantity: value.value for value in report.values()}, "summary": report.summary()})
    else:
        print(f"{report.table()}\n\n{report.summary()}")


def _report(words: Any) -> HierarchyReport:
    lens = lens_of(words)
    samples = lens.draw(make_samples(words))
    found = lens.hierarchy(samples, words.layer, q=words.q, p=words.p)
    untrained = _untrained_signals(words, samples) if words.checkpoint is not None else []
    return hierarchy_report(found, lens.signals(samples, words.layer)[words.layer], untrained, seed=words.seed)


def _untrained_signals(words: Any, samples: Any) -> list[Signals]:
    """The signals of the layer in networks of the same class with new initial weights; none if it starts from zero."""
    untrained = []
    for index in range(N_UNTRAINED):
        model = build_untrained(words.model, words.model_args, words.checkpoint, words.seed + index)
        signals = make_lens(words, model).signals(samples, words.layer)
        if words.layer not in signals:
            reason = signals.skipped[words.layer]
            print(f"factorlens: no comparison with untrained weights, since {reason} before training.", file=sys.stderr)
            return []
        untrained.append(signals[words.layer])
    return untrained


COMMAND = Command(
    "hierarchy",
    "Which singular vectors of a layer serve which classes, beside permuted classes and untrained weights.",
    "factorlens hierarchy last.ckpt --model train.py:Net --data digits.npz --outputs classes --layer fc1",
    _add_arguments,
    _run,
)
