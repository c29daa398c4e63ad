"""A measurement as a user writes it: one scalar and one figure in one file, outside the package."""

from lightning_factorlens.measurements import FigureSpec, Measurement, Scalar


def peak_figure(history):
    """The scalar over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    epochs = [observation.epoch for observation in history]
    peaks = [observation["peak_activation"]["peak_activation"] for observation in history]
    axes.plot(epochs, peaks, gid="peak")
    return figure


class PeakActivation(Measurement):
    """Largest activation of the probe, and how many observations there have been."""

    name = "peak_activation"
    needs = frozenset({"capture"})
    scalars = (
        Scalar(
            "peak_activation",
            "{prefix}/peak_activation",
            "Largest activation that any probe image causes.",
            reading="A sudden rise announces a diverging run.",
            unit="activation",
            better="lower",
            chart="largest activation",
            monitored=True,
            summary=True,
        ),
        Scalar("n_peaks", "{prefix}_peaks/count", "Observations so far, kept in checkpoints."),
    )
    figures = (FigureSpec("peak_activation", peak_figure, "The largest activation over the epochs."),)

    def measure(self, context):
        """Reads the captured blocks."""
        count = 1 if context.state is None else context.state["count"] + 1
        context.keep_state({"count": count})
        peak = max(float(block.samples.max()) for block in context.capture.layers)
        return {"peak_activation": peak, "n_peaks": count}
