"""FactorLensCallback: when to look, on which rank, whom to tell. No mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn

from lightning_factorlens.arguments import flag, one_of, whole
from lightning_factorlens.budget import Account
from lightning_factorlens.factorization import Solver, Weighting
from lightning_factorlens.lens import FactorLens, Memory
from lightning_factorlens.options import LensOptions
from lightning_factorlens.probing.batch import Batch, ModelCall, checked_call, digest
from lightning_factorlens.probing.images import ProbeSource, probe_batch
from lightning_factorlens.probing.selection import LayerPatterns
from lightning_factorlens.probing.signs import SignPolicy
from lightning_factorlens.sinks.base import Sink, each
from lightning_factorlens.sinks.hparams import table_columns, write_table
from lightning_factorlens.sinks.loggers import LoggerSink, logger_prefix
from lightning_factorlens.sinks.records import from_json, to_json, without_tensors
from lightning_factorlens.sinks.tables import epoch_line, layer_table, run_table
from lightning_factorlens.sinks.tags import checked_prefix, summaries
from lightning_factorlens.teamwork import Team, team_of
from lightning_factorlens.trainer import (
    Forward,
    ProgressLine,
    at_the_end_of_the_last_epoch,
    check_monitors,
    early_stoppings,
    hold_patience,
    hyperparameters,
    log_step,
    refuse_what_cannot_work,
    tags_of_others,
    transfer,
    validation_source,
    warn_of_endless_epochs,
)
from lightning_factorlens.types import Observation

#: Past looks in a checkpoint, at most.
REMEMBERED = 500


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
        resample: Draws other images at every look. The curve then moves with the probe too.
        every_n_epochs: Looks after every so many epochs.
        every_n_steps: Looks after every so many optimizer steps instead.
        layers: See `LensOptions`, as for all up to ``seed``.
        ranks: Ranks of the coupled factorisation.
        solver: An object with its options.
        weighting: ``"unit"`` or ``"raw"``.
        signed_inputs: What becomes of inputs below zero.
        signed_activations: The same for layers.
        alpha: Whether to fit power laws.
        max_features: Neurons kept a layer.
        taus: Relative errors whose rank@τ is reported.
        shift: Pixels of the shift behind ``consistency``.
        seed: Of all that is drawn.
        prefix: First part of every tag; give two lenses in one Trainer two prefixes.
        layout: Whether TensorBoard gets a custom-scalars layout (it replaces one of your own) and a table of runs
            under HParams (unless your logger has ``default_hp_metric=False``).
        figures_every: Pictures at the first look, every so many, and the last, with the projector; 0 for none.
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

    Raises:
        ValueError: A wrong argument, at once; patterns that match no layer, before training starts.
        MisconfigurationException: No probe to be had, or a strategy that shards the model.
    """

    def __init__(
        self,
        probe: ProbeSource | None = None,
        probe_size: int = 256,
        resample: bool = False,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        layers: LayerPatterns = None,
        ranks: Sequence[int] = (1, 2, 4, 8, 16, 32),
        solver: Solver | None = None,
        weighting: Weighting = "unit",
        signed_inputs: str | SignPolicy = "shift",
        signed_activations: str | SignPolicy = "rectify",
        alpha: bool = True,
        max_features: int | None = 4096,
        taus: Sequence[float] = (0.5, 0.3),
        shift: int | None = None,
        seed: int = 0,
        prefix: str = "factorlens",
        layout: bool = True,
        figures_every: int = 5,
        verbose: bool = True,
        on_error: str = "warn",
        call: Callable[[nn.Module, Any], Any] | None = None,
        max_overhead: float | None = None,
        sinks: Iterable[Sink] = (),
    ) -> None:
        super().__init__()
        self.options = LensOptions(
            layers, ranks, solver, weighting, signed_inputs, signed_activations, alpha, max_features, taus, shift, seed
        )
        whole("probe_size", probe_size, 1)
        whole("every_n_epochs", every_n_epochs, 1)
        whole("every_n_steps", every_n_steps, 1, or_none="looks at the end of epochs")
        whole("figures_every", figures_every, 0)
        for name, value in (("resample", resample), ("layout", layout), ("verbose", verbose)):
            flag(name, value)
        checked_prefix(prefix)
        one_of("on_error", on_error, ("warn", "raise"))
        self.probe, self.probe_size, self.resample = probe, probe_size, resample
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.prefix, self.layout, self.figures_every = prefix, layout, figures_every
        self.verbose, self.on_error = verbose, on_error
        self.call: ModelCall | None = checked_call(call)
        self.max_overhead = Account(max_overhead).share
        self.sinks = tuple(sinks)
        for sink in self.sinks:
            if not isinstance(sink, Sink):
                raise ValueError(f"sinks: each needs write(observation) and close(), found {sink!r}.")
        self.lens: FactorLens | None = None
        self.observation: Observation | None = None
        self._probe: Batch | None = None
        self._sink: LoggerSink | None = None
        self._team = Team()
        self._forget()

    def _forget(self) -> None:
        """Back to before the first look."""
        self._latest: dict[str, float] = {}
        self._news: dict[str, float] = {}
        self._memory = Memory()
        self._looks, self._epochs, self._last_step, self._failures = 0, 0, 0, 0
        self._looked_this_epoch = False
        self._layers: list[str] = []
        self._past: list[str] = []
        self._mark = ""
        self._account = Account(self.max_overhead)
        self._writing = 0.0
        self.history: list[Observation] = []

    # ---- before training: everything that can be wrong is found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work; opens the run's row in the table of runs, which Lightning would close for good."""
        refuse_what_cannot_work(trainer)
        if stage == "fit" and self.layout and trainer.is_global_zero:
            columns = table_columns(self.options.ranks, self.options.taus, self.prefix)
            for logger in trainer.loggers:
                write_table(logger, hyperparameters(trainer, pl_module), columns, logger_prefix(logger))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, chooses the layers, and looks once before the first step."""
        if trainer.global_step == 0:
            self._forget()  # a second `fit` is another run
        if self.every_n_steps is None:
            warn_of_endless_epochs(trainer)
        self._account.open()
        start = self._account.now()
        self._team = team_of(pl_module.device, trainer.world_size)
        if trainer.is_global_zero or self._team.size > 1:
            forward, context = Forward(trainer, pl_module, self.call), trainer.precision_plugin.forward_context
            self.lens = FactorLens(pl_module, self.options, forward, context, self._team)
            with self._team.together():
                self._probe = self._draw(trainer, pl_module)
                self._recognise(self._probe)
                self._choose()
            self.lens.memory = self._memory
        if trainer.is_global_zero:
            others = tags_of_others(trainer, self.prefix)
            tell = rank_zero_info if self.verbose else None
            self._sink = LoggerSink(trainer.loggers, self.prefix, self.layout, self.figures_every, others, tell)
            self._sink.album.history = list(self.history)
        self._account.add(self._account.now() - start)
        if not self._latest:
            self._epochs = trainer.current_epoch
            self._look(trainer, pl_module, self._epochs, log_step(trainer, after_epoch=False), raises=True)
            self._news = {}  # no epoch has ended yet
        check_monitors(trainer, self.prefix, self._latest)
        if self._epochs < trainer.current_epoch:
            self._make_up(trainer, pl_module)

    def _make_up(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning resumes behind the end of an epoch whose last batch wrote the checkpoint, and nobody sees that end.

        The look that was due is taken now, while nothing has been trained since, and who stops by it is asked.
        """
        with at_the_end_of_the_last_epoch(trainer):
            self.on_train_epoch_end(trainer, pl_module)
            for stop in early_stoppings(trainer, self.prefix):
                stop.on_train_epoch_end(trainer, pl_module)

    def _choose(self) -> None:
        assert self.lens is not None and self._probe is not None
        try:
            table = self.lens.choose(self._probe, self._layers)
        except (NotImplementedError, TypeError, RuntimeError, LookupError, AttributeError) as error:
            x = self._probe.inputs
            raise MisconfigurationException(
                f"FactorLensCallback calls your LightningModule on a batch of inputs, {tuple(x.shape)} of {x.dtype}: "
                f"{type(error).__name__}: {error} Define `forward(self, x)`; or pass `call=`, which says how the model "
                "is called, e.g. CallWith(['image', 'mask']), CallWith([0], target='discriminator') or a function "
                "(model, batch) → model.predict_step(batch, 0); or pass `probe=`, where it takes other inputs than the "
                "validation set's, such as a generator's noise."
            ) from error
        self._layers = [row.name for row in table if row.kept]
        if self.verbose:
            rank_zero_info("FactorLens watches these layers:\n" + layer_table(table))

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Batch:
        """One rank draws for all: what a user's dataset serves may differ between them."""
        return self._team.first(lambda: self._drawn(trainer, pl_module)).to(pl_module.device)

    def _drawn(self, trainer: Trainer, pl_module: LightningModule) -> Batch:
        source = validation_source(trainer) if self.probe is None else self.probe
        seed = self.options.seed + (self._looks if self.resample else 0)
        found = probe_batch(source, self.probe_size, seed, lambda batch: transfer(trainer, batch))
        batch = Batch.of(found, getattr(self.call, "inputs", None))
        # Without a call nothing but the inputs is kept: no label ever reaches the lens.
        batch = batch if self.call else Batch.of(batch.inputs)
        return batch.to(torch.device("cpu")) if self._team.size > 1 else batch  # ranks have devices of their own

    def _recognise(self, probe: Batch) -> None:
        """Curves go on after a checkpoint only where the probe is the same; factors of other samples are of no use."""
        mark = digest(probe.inputs)
        if self._mark and self._mark != mark and not self.resample:
            self._memory = Memory()
            rank_zero_warn(
                "FactorLens: the probe is not the one that the checkpoint was written with, so the curves may jump. "
                "Is the validation set split or shuffled anew in every run? Fix its seed, or pass `probe=` a tensor."
            )
        self._mark = mark

    # ---- during training: nothing that goes wrong here may cost the run

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks on the cadence in steps; an accumulated batch repeats its step and is not looked at twice."""
        n = self.every_n_steps
        if n and trainer.global_step // n > self._last_step // n:  # several optimizers count several steps a batch
            self._look(trainer, pl_module, trainer.current_epoch, log_step(trainer, after_epoch=False))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks on the cadence in epochs; in between, the last summaries are logged again for whoever monitors them."""
        epoch = self._epochs = trainer.current_epoch + 1
        if self.every_n_steps is None and epoch % self.every_n_epochs == 0:
            news = self._look(trainer, pl_module, epoch, log_step(trainer, after_epoch=True))
        else:
            news = self._looked_this_epoch
            self._tell(pl_module)
        self._looked_this_epoch = False
        if not news:
            self._news = {}
            hold_patience(trainer, self.prefix)

    def _look(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int, raises: bool = False) -> bool:
        """All ranks look together or not at all, rank 0 writes, and what it saw is told to all; False: they did not.

        Nothing is kept before all have come to the end: ranks that start from different states would part.
        """
        self._last_step = trainer.global_step
        if not self._affordable(trainer):
            self._tell(pl_module)
            return False
        start = self._account.now()
        found: dict[str, float] | None = None
        try:
            if self.lens is not None:
                words = f"FactorLens looks, epoch {epoch} ..."
                with self._team.together(), ProgressLine(trainer, words, self.verbose) as line:
                    seen = self._observe(trainer, pl_module, epoch, step)
                    news, memory = summaries(seen, self.prefix), self.lens.memory.cpu()
                line.end(lambda: f"FactorLens: {epoch_line(seen)}")
                found, self.observation, self._memory = news, seen, memory
                self.history.append(without_tensors(seen))
                self._looks += 1
            with self._team.together():
                self._write()
        except Exception as error:
            if raises or self.on_error == "raise":
                raise
            if self.lens is not None:
                self.lens.memory = self._memory
            self._warn(error)
        found = trainer.strategy.broadcast(found)
        self._news = found or {}
        self._latest.update(self._news)
        self._tell(pl_module)
        self._looked_this_epoch = found is not None
        self._account.pay(self._account.now() - start)
        return found is not None

    def _affordable(self, trainer: Trainer) -> bool:
        """Rank 0's clock decides for all; the first refusal is said in words."""
        if self.max_overhead is None or trainer.strategy.broadcast(self._account.affords()):
            return True
        self._account.skipped += 1
        if self.verbose and self._account.skipped == 1:
            rank_zero_info(
                f"FactorLens skips a look: one takes {self._account.price():.1f} s, which max_overhead="
                f"{self.max_overhead:g} pays for after {self._account.wait():.0f} s more of training. From now on it "
                f"looks as often as it can pay for; {self.prefix}/looks_skipped counts, patience counts looks."
            )
        return False

    def _observe(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int) -> Observation:
        assert self.lens is not None and self._probe is not None
        start = self._account.now()
        if self.resample and self._looks:
            self._probe = self._draw(trainer, pl_module)
            self.lens.forget()
        self._probe = self._probe.to(pl_module.device)
        seen = self.lens.observe(self._probe, epoch, step)
        return self._with_cost(seen, start)

    def _with_cost(self, seen: Observation, start: float) -> Observation:
        """Adds the writing, whose own cost is known only afterwards: that of the last look stands in for it."""
        now = self._account.now()
        cost = now - start + self._writing
        seconds = {**seen.seconds, "writing": self._writing, "total": cost}
        share = min(1.0, cost / (now - self._account.ended)) if self._account.looks else None
        skipped = None if self.max_overhead is None else self._account.skipped
        return replace(seen, seconds=seconds, share=share, skipped=skipped)

    def _write(self) -> None:
        seen = self.observation
        if self._sink is None or seen is None:
            return
        start = self._account.now()
        try:
            each((self._sink, *self.sinks), lambda sink: sink.write(seen), "sinks")
        finally:
            self._writing = self._account.now() - start

    def _tell(self, pl_module: LightningModule) -> None:
        """To the monitors; the loggers have it from the sink, at the same x as everything else of the look."""
        if self._latest and not pl_module.trainer.barebones:
            pl_module.log_dict(self._latest, logger=False, on_step=False, on_epoch=True)

    def _warn(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            rank_zero_warn(
                f"FactorLens could not look: {type(error).__name__}: {error} Training goes on, monitors keep the last "
                "look's values, further failures stay silent; pass on_error='raise' to see where it comes from."
            )

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says what it cost."""
        if self.lens is not None:
            self.lens.team = Team()  # whoever looks through it from now on may be alone
        if self._sink is not None:
            start = self._account.now()
            try:
                each((self._sink, *self.sinks), lambda sink: sink.close(), "sinks")
            except Exception as error:
                self._warn(error)
            self._account.add(self._account.now() - start)
        if self.verbose and trainer.is_global_zero and self._looks:
            account, failed = self._account, f"; {self._failures} failed" if self._failures else ""
            skipped = f"; {account.skipped} skipped for max_overhead={self.max_overhead:g}" if account.skipped else ""
            table = f"What FactorLens saw:\n{run_table(self.history, self.prefix)}\n" if self.history else ""
            rank_zero_info(
                f"{table}FactorLens: {self._looks} looks in {account.spent:.1f} s, {account.overhead:.1%} of the time"
                f"{skipped}{failed}."
            )

    # ---- for other callbacks, the same on every rank

    @property
    def latest(self) -> dict[str, float]:
        """The summaries as last measured, by tag."""
        return dict(self._latest)

    @property
    def news(self) -> dict[str, float]:
        """Those of the epoch's last look, from the lens's ``on_train_epoch_end`` on; empty where there was none."""
        return dict(self._news)

    # ---- state

    @property
    def state_key(self) -> str:
        """Distinct for distinct prefixes, so that two lenses fit in one Trainer."""
        return self._generate_state_key(prefix=self.prefix)

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors alone: checkpoints are loaded with ``weights_only``."""
        return {
            "latest": dict(self._latest),
            "warm": list(self._memory.F or ()),
            "predictions": self._memory.predictions,
            "looks": self._looks,
            "epochs": self._epochs,
            "last_step": self._last_step,
            "looked_this_epoch": self._looked_this_epoch,
            "news": dict(self._news),
            "layers": list(self._layers),
            "watched": repr(self.options.layers),
            "probe": self._mark,
            "writing": self._writing,
            "account": self._account.state_dict(),
            "past": self._written()[-REMEMBERED:],
        }

    def _written(self) -> list[str]:
        """The looks so far, each turned into text once: a string is saved far faster than the numbers in it."""
        self._past += map(to_json, self.history[len(self._past) :])
        return self._past

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint stopped; a state that cannot be read, such as an older lens's, is left behind.

        Raises:
            ValueError: With ``on_error="raise"``, for such a state.
        """
        try:
            self._restore(state_dict)
        except Exception as error:
            self._forget()
            words = f"found no state of this lens in the checkpoint: {type(error).__name__}: {error}"
            if self.on_error == "raise":
                raise ValueError(f"FactorLens {words}; resume without the lens, or with on_error='warn'.") from error
            rank_zero_warn(f"FactorLens {words}. Training goes on, the lens begins anew.")

    def _restore(self, state_dict: dict[str, Any]) -> None:
        """The same warm start, probe and layers, the same account."""
        self._latest = dict(state_dict["latest"])
        self._memory = Memory(tuple(state_dict["warm"]) or None, state_dict["predictions"])
        self._looks, self._epochs = state_dict["looks"], state_dict["epochs"]
        self._last_step, self._looked_this_epoch = state_dict["last_step"], state_dict["looked_this_epoch"]
        self._news, self._writing = dict(state_dict["news"]), state_dict["writing"]
        self._layers = state_dict["layers"] if state_dict["watched"] == repr(self.options.layers) else []
        self._mark = state_dict["probe"]
        self._account.load_state_dict(state_dict["account"])
        self._past = list(state_dict["past"])
        self.history = [from_json(line) for line in self._past]
        if not all(bool(factor.isfinite().all()) for factor in self._memory.F or ()):
            raise ValueError("warm: factors that are NaN or infinite.")
