"""FactorLensCallback: when to look, on which rank, whom to tell. No mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.callbacks._global_step import as_previous_epoch_end, log_step
from lightning_factorlens.callbacks._module_forward import ModuleForward, reraise_with_hint
from lightning_factorlens.callbacks._monitors import (
    check_monitors,
    early_stoppings,
    foreign_tags,
    hyperparameters,
    rewind_wait_count,
)
from lightning_factorlens.callbacks._probe_source import draw_probe
from lightning_factorlens.callbacks._progress import ProgressLine
from lightning_factorlens.callbacks._support import check_supported, warn_infinite_epochs
from lightning_factorlens.capture.batch import Batch, ForwardFn, check_forward_fn
from lightning_factorlens.capture.probe_batch import ProbeSource
from lightning_factorlens.capture.selection import LayerPatterns
from lightning_factorlens.capture.signs import SignPolicy
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.factorization import Solver, Weighting
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.base import CompositeSink, Sink
from lightning_factorlens.loggers.hparams import table_columns, write_hparams
from lightning_factorlens.loggers.lightning_loggers import LoggerSink, logger_prefix
from lightning_factorlens.loggers.tables import epoch_line, layer_table
from lightning_factorlens.loggers.tags import check_prefix, monitored_scalars
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import RunState


class FactorLensCallback(Callback):
    """Watches, without labels, how well a network is learning.

    Once an epoch, and once before the first, a fixed probe of unlabeled images goes through the model, which is left
    bit for bit as it was; input channels and activations are factorised together at several ranks (papers 000 and
    001), the spectrum of every weight is fitted with a power law (paper 002), and all loggers are told. The summaries
    under ``factorlens/`` are logged so that Lightning's own ``EarlyStopping``, ``ModelCheckpoint`` and
    ``ReduceLROnPlateau`` can monitor them.

    Example:
        >>> trainer = Trainer(callbacks=[FactorLensCallback()])  # doctest: +SKIP

    Args:
        probe: Images to look through: a tensor (N, C, H, W), a dataset or a loader; labels are dropped. None takes the
            validation dataloader's dataset.
        probe_size: Images in the probe.
        call: ``(model, batch) → output``, for models that want more of a batch than one tensor: a function, or an
            object such as ``CallWith(["image", "mask"])``; its method ``inputs(batch)``, if it has one, picks the
            tensor that counts as the input. None calls the model on that tensor alone. Inputs need not be images:
            others have no latent pictures and no ``consistency``.
        resample_probe: Draws other images at every look. The curve then moves with the probe too.
        every_n_epochs: Looks after every so many epochs.
        every_n_train_steps: Looks after every so many optimizer steps instead.
        layers: See `LensOptions`, as for all up to ``seed``.
        ranks: Ranks of the coupled factorisation.
        solver: An object with its options.
        weighting: ``"unit"`` or ``"raw"``.
        input_sign_policy: What becomes of inputs below zero.
        activation_sign_policy: The same for layers.
        alpha: Whether to fit power laws.
        max_neurons_per_layer: Neurons kept a layer.
        error_thresholds: Relative errors whose rank@τ is reported.
        shift: Pixels of the shift behind ``consistency``.
        seed: Of all that is drawn.
        prefix: First part of every tag; give two lenses in one Trainer two prefixes.
        layout: Whether TensorBoard gets a custom-scalars layout (it replaces one of your own) and a table of runs
            under HParams (unless your logger has ``default_hp_metric=False``).
        figures_every_n: Pictures at the first look, every so many, and the last, with the projector; 0 for none.
        verbose: Whether to print the table of layers, a line while a look takes more than a second (through the
            Trainer's progress bar), and what the run came to.
        max_overhead: Share of the training time that looking may take, e.g. 0.02. A look that would take more is
            skipped, and tried again when the next one is due; ``looks_skipped`` counts. None looks always.
        on_error: What a failure inside the lens does during training: ``"warn"`` once and go on, or ``"raise"``.
        sinks: Where else observations are written, such as ``JSONLinesSink("curves.jsonl")``, which needs no logger:
            objects with ``write(observation)`` and ``close()``, used on rank 0.

    Attributes:
        observation: The last look, whole; None before the first.
        history: All looks of the run, without their tensors; ``to_frame(history)`` is their data frame.
        samples: The probe as it was drawn; ``samples.inputs`` are the images. None before training.
        diary: What the lens remembers of the run: how many looks and failures, which layers, what it cost.

    Raises:
        ValueError: A wrong argument, at once; patterns that match no layer, before training starts.
        MisconfigurationException: No probe to be had, or a strategy that shards the model.
    """

    def __init__(
        self,
        probe: ProbeSource | None = None,
        probe_size: int = 256,
        resample_probe: bool = False,
        every_n_epochs: int = 1,
        every_n_train_steps: int | None = None,
        layers: LayerPatterns = None,
        ranks: Sequence[int] = (1, 2, 4, 8, 16, 32),
        solver: Solver | None = None,
        weighting: Weighting = "unit",
        input_sign_policy: str | SignPolicy = "shift",
        activation_sign_policy: str | SignPolicy = "rectify",
        fit_power_law: bool = True,
        max_neurons_per_layer: int | None = 4096,
        error_thresholds: Sequence[float] = (0.5, 0.3),
        consistency_shift: int | None = None,
        seed: int = 0,
        prefix: str = "factorlens",
        tensorboard_layout: bool = True,
        figures_every_n: int = 5,
        verbose: bool = True,
        on_error: str = "warn",
        forward_fn: Callable[[nn.Module, Any], Any] | None = None,
        max_overhead: float | None = None,
        sinks: Iterable[Sink] = (),
    ) -> None:
        super().__init__()
        self.options = LensOptions(
            layers,
            ranks,
            solver,
            weighting,
            input_sign_policy,
            activation_sign_policy,
            fit_power_law,
            max_neurons_per_layer,
            error_thresholds,
            consistency_shift,
            seed,
        )
        check_int("probe_size", probe_size, 1)
        check_int("every_n_epochs", every_n_epochs, 1)
        check_int("every_n_train_steps", every_n_train_steps, 1, or_none="looks at the end of epochs")
        check_int("figures_every_n", figures_every_n, 0)
        for name, value in (("resample_probe", resample_probe), ("layout", tensorboard_layout), ("verbose", verbose)):
            check_bool(name, value)
        check_prefix(prefix)
        check_choice("on_error", on_error, ("warn", "raise"))
        self.probe, self.probe_size, self.resample_probe = probe, probe_size, resample_probe
        self.every_n_epochs, self.every_n_train_steps = every_n_epochs, every_n_train_steps
        self.prefix, self.tensorboard_layout, self.figures_every_n = prefix, tensorboard_layout, figures_every_n
        self.verbose, self.on_error = verbose, on_error
        self.forward_fn: ForwardFn | None = check_forward_fn(forward_fn)
        self.max_overhead = OverheadBudget(max_overhead).max_fraction
        self.sinks = tuple(sinks)
        for sink in self.sinks:
            if not isinstance(sink, Sink):
                raise ValueError(f"sinks: each needs write(observation) and close(), found {sink!r}.")
        self.lens: FactorLens | None = None
        self.observation: Observation | None = None
        self.probe_batch: Batch | None = None
        self._team, self._sink = SingleProcess(), CompositeSink()
        self.state = self._new_diary()

    def _new_diary(self) -> RunState:
        """As before the first look."""
        return RunState(OverheadBudget(self.max_overhead), repr(self.options.layers))

    # ---- before training: everything that can be wrong is found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work; opens the run's row in the table of runs, which Lightning would close for good."""
        check_supported(trainer)
        if stage == "fit" and self.tensorboard_layout and trainer.is_global_zero:
            columns = table_columns(self.options.ranks, self.options.error_thresholds, self.prefix)
            for logger in trainer.loggers:
                write_hparams(logger, hyperparameters(trainer, pl_module), columns, logger_prefix(logger))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, chooses the layers, and looks once before the first step."""
        if trainer.global_step == 0:
            self.state = self._new_diary()  # a second `fit` is another run
        if self.every_n_train_steps is None:
            warn_infinite_epochs(trainer)
        diary = self.state
        diary.budget.start()
        with diary.budget.exclude_from_price():
            self._team = get_process_group(pl_module.device, trainer.world_size)
            if trainer.is_global_zero or self._team.world_size > 1:
                self._prepare(trainer, pl_module)
            self._sink = self._open(trainer) if trainer.is_global_zero else CompositeSink()
        if not diary.metrics:
            diary.epochs = trainer.current_epoch
            self._look(trainer, pl_module, diary.epochs, log_step(trainer, after_epoch=False), raises=True)
            diary.epoch_metrics = {}  # no epoch has ended yet
        check_monitors(trainer, self.prefix, diary.metrics)
        if diary.epochs < trainer.current_epoch:
            self._make_up(trainer, pl_module)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A lens, a probe to look through, and layers to look at: those of a run that is resumed, if they are there."""
        forward, context = ModuleForward(trainer, pl_module, self.forward_fn), trainer.precision_plugin.forward_context
        self.lens = FactorLens(pl_module, self.options, forward, context, self._team)
        with self._team.synchronized_errors():
            self.probe_batch = self._draw(trainer, pl_module)
            if not self.state.update_probe(self.probe_batch.inputs) and not self.resample_probe:
                rank_zero_warn(
                    "FactorLens: the probe is not the one that the checkpoint was written with, so the curves may "
                    "jump. Is the validation set split or shuffled anew in every run? Fix its seed, or pass `probe=` a "
                    "tensor."
                )
            with reraise_with_hint(self.probe_batch.inputs):
                table = self.lens.select_layers(self.probe_batch, self.state.layers)
            self.state.layers = [row.name for row in table if row.selected]
            if self.verbose:
                rank_zero_info("FactorLens watches these layers:\n" + layer_table(table))
        self.lens.warm_start = self.state.warm_start

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Batch:
        """The same samples every time, unless others are asked for."""
        seed = self.options.seed + (self.state.n_measured if self.resample_probe else 0)
        drawn = draw_probe(trainer, self.probe, self.probe_size, seed, self.forward_fn, self._team)
        return drawn.to(pl_module.device)

    def _open(self, trainer: Trainer) -> CompositeSink:
        """Wherever looks are written to."""
        others, tell = foreign_tags(trainer, self.prefix), rank_zero_info if self.verbose else None
        loggers = LoggerSink(trainer.loggers, self.prefix, self.tensorboard_layout, self.figures_every_n, others, tell)
        loggers.album.history = list(self.history)
        return CompositeSink(loggers, *self.sinks)

    def _make_up(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning resumes behind the end of an epoch whose last batch wrote the checkpoint, and nobody sees that end.

        The look that was due is taken now, while nothing has been trained since, and who stops by it is asked.
        """
        with as_previous_epoch_end(trainer):
            self.on_train_epoch_end(trainer, pl_module)
            for stop in early_stoppings(trainer, self.prefix):
                stop.on_train_epoch_end(trainer, pl_module)

    # ---- during training: nothing that goes wrong here may cost the run

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks on the cadence in steps; an accumulated batch repeats its step and is not looked at twice."""
        n = self.every_n_train_steps
        if n and trainer.global_step // n > self.state.last_step // n:  # several optimizers count several steps a batch
            self._look(trainer, pl_module, trainer.current_epoch, log_step(trainer, after_epoch=False))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks on the cadence in epochs; in between, the last summaries are logged again for whoever monitors them."""
        diary = self.state
        epoch = diary.epochs = trainer.current_epoch + 1
        if self.every_n_train_steps is None and epoch % self.every_n_epochs == 0:
            news = self._look(trainer, pl_module, epoch, log_step(trainer, after_epoch=True))
        else:
            news = diary.measured_this_epoch
            self._tell(pl_module)
        diary.measured_this_epoch = False
        if not news:
            diary.epoch_metrics = {}
            rewind_wait_count(trainer, self.prefix)

    def _look(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int, raises: bool = False) -> bool:
        """All ranks look together or not at all, rank 0 writes, and what it saw is told to all; False: they did not."""
        diary = self.state
        diary.last_step = trainer.global_step
        if not self._affordable(trainer):
            self._tell(pl_module)
            return False
        start = diary.budget.elapsed_seconds()
        found: dict[str, float] | None = None
        try:
            if self.lens is not None:
                found = self._observe(trainer, pl_module, epoch, step)
                with self._team.synchronized_errors():
                    self._write()
        except Exception as error:
            if raises or self.on_error == "raise":
                raise
            if self.lens is not None:
                self.lens.warm_start = self.state.warm_start
            self._warn(error)
        found = trainer.strategy.broadcast(found)
        diary.publish(found)
        self._tell(pl_module)
        diary.budget.record(diary.budget.elapsed_seconds() - start)
        return found is not None

    def _affordable(self, trainer: Trainer) -> bool:
        """Rank 0's clock decides for all; the first refusal is said in words."""
        account = self.state.budget
        if self.max_overhead is None or trainer.strategy.broadcast(account.can_afford()):
            return True
        account.n_skipped += 1
        if self.verbose and account.n_skipped == 1:
            rank_zero_info(
                f"FactorLens skips a look: one takes {account.estimated_seconds():.1f} s, which max_overhead="
                f"{self.max_overhead:g} pays for after {account.seconds_until_affordable():.0f} s more of training. From now on it "
                f"looks as often as it can pay for; {self.prefix}/looks_skipped counts, patience counts looks."
            )
        return False

    def _observe(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int) -> dict[str, float]:
        """The summaries of one look.

        Nothing is kept before all have come to the end: ranks that start from different states would part.
        """
        assert self.lens is not None and self.probe_batch is not None
        start, lens = self.state.budget.elapsed_seconds(), self.lens
        with (
            self._team.synchronized_errors(),
            ProgressLine(trainer, f"FactorLens looks, epoch {epoch} ...", self.verbose) as line,
        ):
            if self.resample_probe and self.state.n_measured:
                self.probe_batch = self._draw(trainer, pl_module)
                lens.reset()
            self.probe_batch = self.probe_batch.to(pl_module.device)
            seen = self.state.budget.with_cost(lens.observe(self.probe_batch, epoch, step), start)
            found, memory = monitored_scalars(seen, self.prefix), lens.warm_start.cpu()
        line.finish(lambda: f"FactorLens: {epoch_line(seen)}")
        self.observation = seen
        self.state.record(seen, memory)
        return found

    def _write(self) -> None:
        assert self.observation is not None
        account = self.state.budget
        start = account.elapsed_seconds()
        try:
            self._sink.write(self.observation)
        finally:
            account.write_seconds = account.elapsed_seconds() - start

    def _tell(self, pl_module: LightningModule) -> None:
        """To the monitors; the loggers have it from the sink, at the same x as everything else of the look."""
        if self.state.metrics and not pl_module.trainer.barebones:
            pl_module.log_dict(self.state.metrics, logger=False, on_step=False, on_epoch=True)

    def _warn(self, error: Exception) -> None:
        self.state.n_failed += 1
        if self.state.n_failed == 1:
            rank_zero_warn(
                f"FactorLens could not look: {type(error).__name__}: {error} Training goes on, monitors keep the last "
                "look's values, further failures stay silent; pass on_error='raise' to see where it comes from."
            )

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says what it cost."""
        if self.lens is not None:
            self.lens.process_group = SingleProcess()  # whoever looks through it from now on may be alone
        with self.state.budget.exclude_from_price():
            try:
                self._sink.close()
            except Exception as error:
                self._warn(error)
        if self.verbose and trainer.is_global_zero and self.state.n_measured:
            rank_zero_info(self.state.summary_text(self.prefix))

    # ---- for other callbacks, the same on every rank

    @property
    def metrics(self) -> dict[str, float]:
        """The summaries as last measured, by tag."""
        return dict(self.state.metrics)

    @property
    def epoch_metrics(self) -> dict[str, float]:
        """Those of the epoch's last look, from the lens's ``on_train_epoch_end`` on; empty where there was none."""
        return dict(self.state.epoch_metrics)

    @property
    def history(self) -> list[Observation]:
        """All looks of the run; see the class."""
        return self.state.history

    # ---- state

    @property
    def state_key(self) -> str:
        """Distinct for distinct prefixes, so that two lenses fit in one Trainer."""
        return self._generate_state_key(prefix=self.prefix)

    def state_dict(self) -> dict[str, Any]:
        """The diary's."""
        return self.state.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint stopped; a state that cannot be read, such as an older lens's, is left behind.

        Raises:
            ValueError: With ``on_error="raise"``, for such a state.
        """
        self.state = self._new_diary()
        try:
            self.state = self.state.from_state_dict(state_dict)
        except Exception as error:
            words = f"found no state of this lens in the checkpoint: {type(error).__name__}: {error}"
            if self.on_error == "raise":
                raise ValueError(f"FactorLens {words}; resume without the lens, or with on_error='warn'.") from error
            rank_zero_warn(f"FactorLens {words}. Training goes on, the lens begins anew.")
