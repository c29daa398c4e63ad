"""What a terminal shows."""

import pytest

from lightning_factorlens.loggers.tables import epoch_line, layer_table, shorten
from lightning_factorlens.results import LayerInfo

LONG = "backbone.encoder.stages.3.blocks.11.mlp.activation_function-2"
CHOICES = (
    LayerInfo("stem", "Conv2d", (16, 8, 8), -2.25, False, "has entries below zero"),
    LayerInfo("features.1", "ReLU", (16, 8, 8), 0.0, True, "non-negative"),
    LayerInfo(LONG, "ReLU6", (10,), 0.0, True, "non-negative"),
)


def test_kept_rows_come_first_and_are_counted():
    lines = layer_table(CHOICES).splitlines()
    assert lines[0].split() == ["name", "op", "shape", "min", "reason"]
    assert lines[2].split() == ["*", "features.1", "ReLU", "16x8x8", "0", "kept", "non-negative"]
    assert lines[4].split()[:5] == ["stem", "Conv2d", "16x8x8", "-2.25", "skipped"]
    assert lines[-1] == "kept 2 of 3 tensors, 1,034 features an image"


def test_columns_are_aligned():
    lines = layer_table(CHOICES).splitlines()[:-1]
    assert len({line.find("non-negative") for line in lines if "non-negative" in line}) == 1
    assert lines[0].index("reason") == lines[2].index("non-negative") == lines[4].index("has entries")
    assert all(line == line.rstrip() for line in lines)


def test_long_names_keep_both_ends():
    row = layer_table(CHOICES).splitlines()[3].split()[1]
    head, tail = row.split("...")
    assert len(row) == 40
    assert LONG.startswith(head)
    assert LONG.endswith(tail)


@pytest.mark.parametrize("width", [9, 10, 40])
def test_shorten(width):
    assert len(shorten(LONG, width)) == width
    assert shorten("short", width) == "short"


def test_no_layers_at_all():
    assert layer_table([]).splitlines()[-1] == "kept 0 of 0 tensors, 0 features an image"


def test_epoch_line(observe):
    o = observe(0)
    e = dict(zip(o.curves["total"].ranks, o.curves["total"].rel_error))
    assert epoch_line(o) == (
        f"epoch 0 | rel. error {e[1]:.3f}, {e[8]:.3f}, {e[32]:.3f} at rank 1, 8, 32 | rank@30% 9.2 | "
        "rank@12.5% > 32 | effective rank 20.5 | consistency 0.4375 | mean alpha 3.00 | "
        "1.75 s (6.2% of the time)"
    )


def test_epoch_line_leaves_out_what_there_is_not(observe):
    bare = observe(
        2,
        consistency=None,
        alpha=None,
        share=None,
        seconds={},
        effective_rank={},
        required_ranks=(),
        spectra=(),
    )
    assert epoch_line(bare, ranks=(3,)) == "epoch 2"
    assert epoch_line(bare, ranks=(3, 4)).endswith(" at rank 4")


def test_everything_is_ascii_for_any_terminal(observe):
    assert (layer_table(CHOICES) + epoch_line(observe())).isascii()
