"""The figures of a run, which are drawn at some of its observations, once for all loggers that can show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from lightning_factorlens._validation import check_int
from lightning_factorlens.background.fork_gate import fork_gate
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.measurements import FigureSpec, Measurement
from lightning_factorlens.results import Observation
from lightning_factorlens.results.findings import StopAdvice

#: Pixels, uint8, shape (height, width, 4) with the opacity last, by name.
Images = dict[str, np.ndarray]
#: Draws figures of data that do not change any more, on any thread.
Drawing = Callable[[], Images]


class FigureSchedule:
    """Decides when figures are due, and of what they are drawn.

    Args:
        figures: Figure by name, see `numbered_figures`.
        every_n: Figures are drawn at the first observation, then at every n-th, and at the last; 0 for none. Where one
            of these is not full, they are drawn at the next one that is.
        history: The run's observations without their tensors, oldest first. The caller appends each observation before
            it calls `add`. None for a history that the schedule keeps itself.
        budget: Allows or postpones all figures but the last ones; None allows all.
        advice: Returns what the run's stopping rule has decided so far; None where there is no rule.

    Raises:
        ValueError: ``every_n`` is negative.
    """

    def __init__(
        self,
        figures: Mapping[str, FigureSpec],
        every_n: int = 1,
        history: Sequence[Observation] | None = None,
        budget: OverheadBudget | None = None,
        advice: Callable[[], StopAdvice | None] | None = None,
    ) -> None:
        check_int("figures_every_n", every_n, 0)
        self.figures = figures
        self.every_n = every_n
        self.last: Observation | None = None
        self._own_history: list[Observation] | None = [] if history is None else None
        self._given_history: Sequence[Observation] = () if history is None else history
        self._budget = OverheadBudget() if budget is None else budget
        self._advice = advice
        self._n_added = 0 if history is None else len(history)
        self._last_due = (self._n_added - 1) // max(1, every_n)
        self._is_last_drawn = True
        self._with_record: dict[str, Observation] = {}

    @property
    def history(self) -> Sequence[Observation]:
        """The run's observations without their tensors, oldest first."""
        return self._given_history if self._own_history is None else self._own_history

    def add(self, observation: Observation) -> Drawing | None:
        """Adds one observation.

        Args:
            observation: The observation with its tensors.

        Returns:
            What draws its figures when they are due, else None.
        """
        is_due = self._is_due(observation)
        self._keep(observation)
        self._keep_records(observation)
        if observation.is_full:
            self.last = observation
        self._is_last_drawn = is_due or self.every_n == 0
        return self._drawing() if is_due else None

    def _keep(self, observation: Observation) -> None:
        """Adds to the own history, where there is one; an observation that was completed replaces the last one."""
        own = self._own_history
        if own is None:
            self._n_added += 1
            return
        if own and (own[-1].epoch, own[-1].step) == (observation.epoch, observation.step):
            own.pop()
        own.append(observation.without_tensors())
        self._n_added = len(own)

    def _keep_records(self, observation: Observation) -> None:
        """Keeps the records that figures need and that a later observation may lack, with their tensors."""
        if self.every_n == 0:
            return
        for figure in self.figures.values():
            if figure.record in observation:
                light = observation.without_tensors()
                self._with_record[figure.record] = light.with_record(figure.record, observation[figure.record])

    def _is_due(self, observation: Observation) -> bool:
        """Whether an n-th observation has been reached since the last figures, and their price is covered."""
        if self.every_n == 0 or not observation.is_full:
            return False
        number = self._n_added // self.every_n
        if number <= self._last_due or not self._budget.can_afford_figures():
            return False
        self._last_due = number
        return True

    def flush(self) -> Drawing | None:
        """What draws the figures of the last observation, where they have not been drawn."""
        if self._is_last_drawn or self.last is None:
            return None
        self._is_last_drawn = True
        return self._drawing()

    def clear(self) -> None:
        """Drops all observations."""
        self._own_history = []
        self._given_history = ()
        self._n_added = 0
        self._last_due = -1
        self.last = None
        self._is_last_drawn = True
        self._with_record = {}

    def _drawing(self) -> Drawing:
        """The figures of the last full observation; those that need no tensors are of the whole history."""
        assert self.last is not None
        history = list(self.history)
        n_until_last = len(history)
        while n_until_last > 1 and not history[n_until_last - 1].is_full:
            n_until_last -= 1
        history[n_until_last - 1] = self.last
        advice = None if self._advice is None else self._advice()
        return partial(render_figures, self.figures, history, n_until_last, advice, dict(self._with_record))


def numbered_figures(measurements: Sequence[Measurement]) -> dict[str, FigureSpec]:
    """The measurements' figures in their order; one that several measurements declare appears once.

    Args:
        measurements: The lens's measurements.

    Returns:
        Figure by name, those with a tag of their own first. The others have a number before their name, because
        TensorBoard sorts images by name.

    Example:
        >>> from lightning_factorlens.measurements import RankAtError, WeightSpectra
        >>> list(numbered_figures([RankAtError(), WeightSpectra()]))
        ['1_history', '2_alpha', '3_spectra']
    """
    distinct: dict[str, FigureSpec] = {}
    for measurement in measurements:
        for figure in measurement.figures:
            distinct.setdefault(figure.name, figure)
    numbered = {name: figure for name, figure in distinct.items() if figure.tag}
    grouped = [figure for figure in distinct.values() if not figure.tag]
    for number, figure in enumerate(grouped, start=1):
        numbered[f"{number}_{figure.name}"] = figure
    return numbered


def image_tag(name: str, figures: Mapping[str, FigureSpec], prefix: str) -> str:
    """The tag under which loggers write a figure.

    Args:
        name: Its name.
        figures: Figure by name, see `numbered_figures`.
        prefix: First part of the lens's tags.

    Example:
        >>> from lightning_factorlens.measurements import Consistency
        >>> figures = numbered_figures([Consistency()])
        >>> [image_tag(name, figures, "lens") for name in figures]
        ['Dashboard/lens', 'lens_figures/1_history']
    """
    template = "{prefix}_figures/{name}"
    if name in figures and figures[name].tag:
        template = figures[name].tag
    return template.format(prefix=prefix, name=name)


def render_figures(
    figures: Mapping[str, FigureSpec],
    history: Sequence[Observation],
    n_until_full: int | None = None,
    advice: StopAdvice | None = None,
    with_record: Mapping[str, Observation] | None = None,
) -> Images:
    """Draws every figure that has something to draw.

    Args:
        figures: Figure by name.
        history: The observations of a run, oldest first; the last full one with its tensors.
        n_until_full: Number of the observations up to the last full one; None for all.
        advice: What a stopping rule has decided, for figures that show it.
        with_record: The last observation that has a record, with its tensors, by the record's name.

    Returns:
        Pixels by the figure's name; a figure without anything to draw has no entry.
    """
    images = {}
    for name, figure in figures.items():
        shown = history[:n_until_full] if figure.needs_tensors else history
        if with_record and figure.record in with_record:
            shown = _until(history, with_record[figure.record])
        with fork_gate.unit():
            from lightning_factorlens.plots.style import to_array  # matplotlib is slow to import

            drawn = figure.draw(shown, advice=advice) if figure.takes_advice else figure.draw(shown)
            if drawn is not None:
                images[name] = to_array(drawn)
    return images


def _until(history: Sequence[Observation], last: Observation) -> list[Observation]:
    """The observations before a given one, and that."""
    place = (last.epoch, last.step)
    return [*(o for o in history if (o.epoch, o.step) < place), last]
