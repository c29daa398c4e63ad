"""Figure 2(c) in the section of the README: conclusions by signal, correlations of records and of controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.papers import conclusions, epochs, epochs_controls
from benchmarks.reporting import markdown_table


def epochs_section(measured: Mapping[str, Any]) -> str:
    """The part on the error from epoch to epoch."""
    records = epochs.summary(measured["records"])
    controls = epochs_controls.summary(measured["controls"])
    said = [f"- {signal}: {conclusions.epochs(records, controls, signal)}." for signal in epochs.SIGNALS]
    header = ("", *(f"{kind}, {labels}" for labels in ("clean", "noisy") for kind in epochs.CORRELATIONS))
    first = markdown_table(header, [
        (name, *("" if name == "test loss" and kind != "epoch" else str(records[labels][name][kind])
                 for labels in ("clean", "noisy") for kind in epochs.CORRELATIONS))
        for name in (*epochs.SIGNALS, "test loss")
    ])  # fmt: skip
    nets = epochs_controls.NETS
    cells = _cells(controls)
    second = markdown_table(
        ("labels", "signal", *(f"{kind}, {net}" for kind in ("levels", "changes") for net in nets)),
        [(*row, *cell("levels", nets), *cell("changes", nets)) for row, cell in cells],
    )
    third = markdown_table(
        ("labels", "signal", *(f"{said}, {net}" for said in ("likeness", "lead over") for net in nets[1:])),
        [(*row, *cell("with_trained", nets[1:]), *cell("margin", nets[1:])) for row, cell in cells],
    )
    runs = len(measured["controls"]) // len(epochs_controls.RUNS)
    length = len(measured["controls"][0]["test_loss"])
    return "\n\n".join([
        f"### {epochs.TITLE}",
        conclusions.EPOCHS_HOLD,
        "\n".join(said),
        "![Trained and control networks beside the test loss, and correlations by record]"
        "(../../docs/papers/epochs.png)",
        f"Spearman by record, mean over the {records['all']['records']} records of the stopping study "
        f"({records['clean']['records']} with clean, {records['noisy']['records']} with wrong labels; tasks are drawn "
        "first, then their records): of the **levels** with the test loss, of their **changes** from epoch to epoch, "
        "and of the signal with the **epoch**. Errors are areas over ranks 1 to 16, every block at unit norm.",
        first,
        f"Two controls beside {runs} trained networks a kind of labels, {length} epochs: **untrained** has random "
        "weights scaled to the trained network's norms at every epoch; the **random walk** moves every parameter as "
        "far as training does, in random directions. Correlations of all three are with the *trained* network's test "
        "loss.",
        second,
        "**Likeness**: Spearman of a control's series with the trained network's. **Lead**: how much stronger the "
        "trained network's correlation of levels is than the control's; where the interval does not lie "
        "above 0, the signal is no more informative than the control. –: the series does not vary (α does not depend "
        "on the scale of the weights), which counts as no correlation.",
        third,
    ])  # fmt: skip


def _cells(controls: Mapping[str, Any]) -> list[tuple[tuple[str, str], Callable[[str, Sequence[str]], list[str]]]]:
    """For every kind of labels and signal, a function that formats one estimate of each network."""

    def cell(found: Mapping[str, Any]) -> Callable[[str, Sequence[str]], list[str]]:
        return lambda key, nets: [str(found[net][key]) for net in nets]

    return [((labels, signal), cell(found)) for labels, of in controls.items() for signal, found in of.items()]
