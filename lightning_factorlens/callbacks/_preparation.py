"""Prepares the lens of a run: makes it, draws its probe and selects its layers."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.callbacks._callback_results import CallbackResults
from lightning_factorlens.callbacks._module_forward import ModuleForward, reraise_with_hint
from lightning_factorlens.callbacks._output_evidence import OutputEvidence
from lightning_factorlens.callbacks._probe_source import draw_probe
from lightning_factorlens.callbacks._settings import Settings
from lightning_factorlens.callbacks._validation_stage import ForwardContext, swapped_weights
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.results.layer_table import short_layer_table


class PreparedLens:
    """The lens of a run, its probe, and what it knows of the model's output.

    Args:
        settings: The callback's arguments.
        results: The run's state.

    Attributes:
        lens: The lens; None before it has been prepared, and on ranks that do not observe.
        probe: The probe as it was last drawn.
        process_group: The processes of the run.
        evidence: How the model's output is read, where the first training step tells.
    """

    def __init__(self, settings: Settings, results: CallbackResults) -> None:
        self._settings = settings
        self._results = results
        self.lens: FactorLens | None = None
        self.probe: Probe | None = None
        self.process_group = SingleProcess()
        self.evidence = OutputEvidence(settings.measurements)

    def start_run(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets the lens of an earlier ``fit``, which observed another module."""
        self.evidence = OutputEvidence(self._settings.measurements)
        self.lens = None
        self.process_group = get_process_group(pl_module.device, trainer.world_size)

    def prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the lens on the ranks that observe, unless that has been done in this run."""
        if self.lens is None and (trainer.is_global_zero or self.process_group.world_size > 1):
            with self._results.state.budget.exclude_from_price("preparation"):
                self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        settings = self._settings
        forward = ModuleForward(trainer, pl_module, settings.forward_fn)
        lens = FactorLens(
            forward.model,
            settings.options,
            settings.measurements,
            forward_fn=forward,
            forward_context=ForwardContext(trainer),
            process_group=self.process_group,
            state=self._results.state,
            outputs=settings.outputs,
        )
        swap = swapped_weights(trainer, pl_module)
        if swap is not None:
            rank_zero_warn(
                f"FactorLens does not call {swap}, with which validation uses other weights than training. The curves "
                "are those of the weights that are trained."
            )
        with self.process_group.synchronized_errors():
            self.probe = self._draw(trainer, pl_module, forward)
            self._check_probe(self.probe)
            self._select_layers(lens, self.probe)
        self.lens = lens

    def _draw(self, trainer: Trainer, pl_module: LightningModule, forward: ModuleForward) -> Probe:
        """Draws the probe: equal samples every time, or with ``resample_probe`` other ones."""
        settings = self._settings
        seed = settings.options.seed
        if settings.resample_probe:
            seed += self._results.state.n_measured - self._results.state.n_not_due
        drawn = draw_probe(
            trainer, settings.probe, settings.probe_size, seed, forward, self.process_group, settings.verbose
        )
        return drawn.to(pl_module.device)

    def _check_probe(self, probe: Probe) -> None:
        """Warns where a resumed run has another probe."""
        if not self._results.state.update_probe(probe.fingerprint) and not self._settings.resample_probe:
            rank_zero_warn(
                "FactorLens: the probe is not the one that the checkpoint was written with, so the curves may "
                "jump. Is the validation set split or shuffled anew in every run? Fix its seed, or pass `probe=` a "
                "tensor."
            )

    def _select_layers(self, lens: FactorLens, probe: Probe) -> None:
        """Selects the layers, which in a resumed run are those selected before, and begins to decide on the output."""
        settings = self._settings
        state = self._results.state
        with reraise_with_hint(probe, settings.forward_fn):
            table = lens.select_layers(probe, state.layers)
        state.layers = [layer.name for layer in table if layer.selected]
        self.evidence.start(lens)
        if not self.evidence.is_pending:
            state.output_decision = lens.output_decision
        ranks = lens.options_for(probe).ranks
        if settings.verbose and ranks != settings.options.ranks:
            rank_zero_info(
                f"FactorLens: the default ranks are those up to the number of samples, {len(probe)}: "
                f"{', '.join(map(str, ranks))}."
            )
        if settings.verbose:
            layers = short_layer_table(table, "callback.lens.layer_table")
            rank_zero_info(f"FactorLens: {layers}\n{self.evidence.line}")

    def probe_for_observation(self, lens: FactorLens, trainer: Trainer, pl_module: LightningModule) -> Probe:
        """The probe of the next observation on the module's device, drawn anew with ``resample_probe``."""
        assert self.probe is not None
        if self._settings.resample_probe and self._results.state.n_measured:
            assert isinstance(lens.forward_fn, ModuleForward)
            self.probe = self._draw(trainer, pl_module, lens.forward_fn)
            lens.reset()
        self.probe = self.probe.to(pl_module.device)
        return self.probe

    def end_run(self) -> None:
        """Leaves the process group, because later observations may be made by one process alone."""
        if self.lens is not None:
            self.lens.process_group = SingleProcess()
