"""The first pass of an observation, taken from the user's own validation pass where the numbers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._module_forward import ModuleForward
from lightning_factorlens.callbacks._preparation import PreparedLens
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.callbacks._validation_stage import swapped_weights
from lightning_factorlens.capture.activations import Capture
from lightning_factorlens.capture.capture_difference import largest_difference
from lightning_factorlens.capture.distributed import CaptureFn
from lightning_factorlens.capture.entries import EntryFinder
from lightning_factorlens.capture.passing_rows import PassingRows
from lightning_factorlens.capture.reading_problems import reading_problem
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.results import LayerInfo

#: Largest difference from a pass of the lens's own, relative to the largest value, with ``reuse_validation=True``.
TOLERANCE = 1e-6
#: Observations of a run that could not use a validation, after which no more are tried.
MAX_PROBLEMS = 3


class ValidationCapture:
    """Reads the probe's activations in validations, and gives them to observations of the same weights.

    The first time in a run that they are complete, the observation makes its own pass as well and compares. Only where
    they are equal bit for bit, or with ``reuse_validation=True`` to `TOLERANCE`, later observations make no pass for
    batches of the same sizes in which the same modules run; other modules have parameters that only a pass of the
    lens's own finds to be used. So a run that is resumed, or in which some observations have no validation, logs the
    same numbers.

    Args:
        settings: The callback's arguments.
        results: The run's state.
        prepared: The lens and its probe.
    """

    def __init__(self, settings: Settings, results: CallbackResults, prepared: PreparedLens) -> None:
        self._settings = settings
        self._results = results
        self._prepared = prepared
        self._rows: PassingRows | None = None
        self._entries: list[nn.Module] | None = None
        self._equal_sizes: set[int] = set()
        self._called: set[str] = set()
        self._n_problems = 0
        self._is_given_up = False
        self._has_told = False

    def start_run(self) -> None:
        """Forgets what was found in an earlier ``fit``."""
        self.drop()
        self._entries = None
        self._equal_sizes = set()
        self._n_problems = 0
        self._is_given_up = False
        self._has_told = False

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to read, at the start of a validation after which an observation is due."""
        self.drop()
        lens = self._prepared.lens
        probe = self._prepared.probe
        is_due = (trainer.current_epoch + 1) % self._settings.every_n_epochs == 0
        if lens is None or probe is None or not is_due or self._is_given_up or self._settings.reuse_validation is False:
            return
        try:
            problem = self._problem(trainer, pl_module, lens, probe)
            if problem:
                self._give_up(problem)
                return
            lens.capture_source = self.capture
            if self._entries is not None:
                self._rows = self._passing_rows(trainer, lens, probe, self._entries)
                self._rows.start()
        except Exception as error:  # the observation makes a pass of its own
            self._give_up(f"{type(error).__name__}: {error}")

    def _problem(self, trainer: Trainer, pl_module: LightningModule, lens: FactorLens, probe: Probe) -> str:
        """What forbids to use the validation; empty if nothing does."""
        settings = self._settings
        forward = lens.forward_fn
        batch = probe.whole[0]
        if trainer.world_size > 1 or trainer.strategy.model is not pl_module:
            return "several processes train, or a wrapper calls the module"
        if settings.resample_probe or settings.every_n_train_steps is not None:
            return "observations have other samples, or follow steps"
        if not isinstance(forward, ModuleForward) or forward.forward_fn is not None or batch.data is not batch.inputs:
            return "the model takes more than one tensor"
        if len(probe.whole) > 1 or not probe.is_cuttable or probe.target is not None:
            return "the probe is not one batch on the model's device"
        swap = swapped_weights(trainer, pl_module)
        if swap is not None:
            return f"validation may use other weights, because of {swap}"
        return reading_problem(lens.model, lens.layer_table)

    def _passing_rows(self, trainer: Trainer, lens: FactorLens, probe: Probe, entries: list[nn.Module]) -> PassingRows:
        inputs: Tensor = trainer.precision_plugin.convert_input(probe.inputs)
        timer = partial(self._results.state.budget.exclude_from_price, "validation")
        options = self._settings.options
        return PassingRows(
            lens.model,
            inputs,
            lens.layer_table,
            options.max_neurons_per_layer,
            options.seed,
            lens.output_decision,
            entries,
            timer,
        )

    def stop(self) -> None:
        """Ends the reading, at the end of a validation."""
        if self._rows is not None:
            self._rows.stop()

    def drop(self) -> None:
        """Ends the reading and drops what was read."""
        self.stop()
        self._rows = None
        if self._prepared.lens is not None:
            self._prepared.lens.capture_source = None

    def capture(self, own: CaptureFn, probe: Probe, layers: Sequence[LayerInfo]) -> Capture:
        """The capture of an observation: from the validation, or by a pass of its own.

        Args:
            own: Makes a pass.
            probe: The samples.
            layers: The layers that are captured; none for a signal alone.
        """
        lens = self._prepared.lens
        if lens is None or not self._is_of_run(probe):
            return own(probe, layers)
        rows, self._rows = self._rows, None
        if rows is None:
            return self._own_pass(own, probe, layers, lens.model)
        read, problem = self._read(rows, lens, layers)
        is_known = rows.sizes <= self._equal_sizes and rows.called == self._called
        if read is not None and is_known:
            return read
        found = own(probe, layers)
        if read is None:
            self._n_problems += 1
            if self._n_problems >= MAX_PROBLEMS:
                self._give_up(problem)
        elif layers:  # a signal alone says nothing about the layers
            self._compare(found, read, rows)
        return found

    def _read(self, rows: PassingRows, lens: FactorLens, layers: Sequence[LayerInfo]) -> tuple[Capture | None, str]:
        """What was read in the validation; None, and why, where that cannot be used."""
        try:
            problem = rows.problem(lens.output_decision)
            return (None, problem) if problem else (rows.capture(layers), "")
        except Exception as error:  # such as a layer that did not run
            return None, f"{type(error).__name__}: {error}"

    def _is_of_run(self, probe: Probe) -> bool:
        """Whether the samples are the run's probe, whole and unchanged."""
        known = self._prepared.probe
        return (
            known is not None
            and len(probe.whole) == 1
            and probe.whole[0] is known.whole[0]
            and len(probe) == len(known)
            and not probe.functions
        )

    def _own_pass(self, own: CaptureFn, probe: Probe, layers: Sequence[LayerInfo], model: nn.Module) -> Capture:
        """Makes a pass, in which the first time is found how else the model may be called."""
        if self._entries is not None:
            return own(probe, layers)
        with EntryFinder(model) as finder:
            found = own(probe, layers)
        self._entries = finder.entries
        return found

    def _compare(self, own: Capture, read: Capture, rows: PassingRows) -> None:
        """Decides by one observation whether later ones may use the validation."""
        difference = largest_difference(own, read)
        limit = TOLERANCE if self._settings.reuse_validation else 0.0
        if difference <= limit:
            self._equal_sizes |= rows.sizes
            self._called = rows.called
            text = "bit for bit the same" if difference == 0 else f"equal to {difference:.1g}"
            self._tell(f"reads the activations in the validation pass from now on; they are {text}")
        else:
            self._give_up(f"the activations differ by {difference:.1g} from those in the validation")

    def _give_up(self, reason: str) -> None:
        """Makes passes of the lens's own for the rest of the run."""
        self.drop()
        self._is_given_up = True
        self._tell(f"makes a pass of its own at every observation, because {reason}")

    def _tell(self, text: str) -> None:
        """Says once, where the user has asked for it, what is done."""
        if self._settings.verbose and self._settings.reuse_validation and not self._has_told:
            self._has_told = True
            rank_zero_info(f"FactorLens {text}.")
