"""FactorLensCallback: when to look, on which rank, whom to tell. No mathematics; the only importer of lightning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_factorlens.arguments import flag, one_of, whole
from lightning_factorlens.factorization import Solver, Weighting
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.options import LensOptions
from lightning_factorlens.probing.images import ProbeSource, probe_images
from lightning_factorlens.probing.selection import LayerPatterns
from lightning_factorlens.probing.signs import SignPolicy
from lightning_factorlens.sinks.loggers import LoggerSink
from lightning_factorlens.sinks.tables import layer_table
from lightning_factorlens.sinks.tags import checked_prefix, summaries
from lightning_factorlens.trainer import (
    Forward,
    check_monitors,
    hold_patience,
    log_step,
    refuse_what_cannot_work,
    transfer,
    validation_source,
)
from lightning_factorlens.types import Observation


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
        layout: Whether TensorBoard gets a custom-scalars layout (it replaces one of your own).
        figures_every: Pictures at the first look, every so many, and the last; 0 for none.
        verbose: Whether to print the table of layers and the closing line.
        on_error: What a failure inside the lens does during training: ``"warn"`` once and go on, or ``"raise"``.

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
        self.lens: FactorLens | None = None
        self.observation: Observation | None = None
        self._images: Tensor | None = None
        self._sink: LoggerSink | None = None
        self._forget()

    def _forget(self) -> None:
        """Back to before the first look."""
        self._latest: dict[str, float] = {}
        self._warm: list[Tensor] = []
        self._looks, self._last_step, self._failures = 0, 0, 0
        self._looked_this_epoch = False
        self._since: float | None = None
        self._cost, self._wall, self._writing = 0.0, 0.0, 0.0

    # ---- before training: everything that can be wrong is found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work."""
        refuse_what_cannot_work(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, chooses the layers, and looks once before the first step."""
        if trainer.global_step == 0:
            self._forget()  # a second `fit` is another run
        if trainer.is_global_zero:
            self._images = self._draw(trainer, pl_module)
            context = trainer.precision_plugin.forward_context
            self.lens = FactorLens(pl_module, self.options, Forward(trainer, pl_module), context)
            self.lens.warm = tuple(self._warm) or None
            self._choose()
            self._sink = LoggerSink(trainer.loggers, self.prefix, layout=self.layout, figures_every=self.figures_every)
        if not self._latest:
            step = log_step(trainer, after_epoch=False)
            self._look(trainer, pl_module, trainer.current_epoch, step, raises=True)
        check_monitors(trainer, self.prefix, self._latest)
        self._since = time.perf_counter()

    def _choose(self) -> None:
        assert self.lens is not None and self._images is not None
        try:
            table = self.lens.choose(self._images)
        except NotImplementedError as error:
            raise MisconfigurationException(
                f"FactorLensCallback calls your LightningModule on a batch of images: {error}. "
                "Define `forward(self, x)`."
            ) from error
        if self.verbose:
            rank_zero_info("FactorLens watches these layers:\n" + layer_table(table))

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Tensor:
        source = validation_source(trainer) if self.probe is None else self.probe
        seed = self.options.seed + (self._looks if self.resample else 0)
        images = probe_images(source, self.probe_size, seed, lambda batch: transfer(trainer, batch))
        return images.to(pl_module.device)

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
        epoch = trainer.current_epoch + 1
        if self.every_n_steps is None and epoch % self.every_n_epochs == 0:
            news = self._look(trainer, pl_module, epoch, log_step(trainer, after_epoch=True))
        else:
            news = self._looked_this_epoch
            self._tell(pl_module)
        self._looked_this_epoch = False
        if not news:
            hold_patience(trainer, self.prefix)

    def _look(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int, raises: bool = False) -> bool:
        """Rank 0 looks and writes; every rank learns the summaries and logs the same keys. Returns whether it could."""
        self._last_step = trainer.global_step
        found: dict[str, float] | None = None
        if trainer.is_global_zero:
            try:
                found = self._observe(trainer, pl_module, epoch, step)
                self._write()
            except Exception as error:
                if raises or self.on_error == "raise":
                    raise
                self._warn(error)
        found = trainer.strategy.broadcast(found)
        self._latest.update(found or {})
        self._tell(pl_module)
        self._since = time.perf_counter()
        self._looked_this_epoch = found is not None
        return found is not None

    def _observe(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int) -> dict[str, float]:
        assert self.lens is not None and self._images is not None
        start = time.perf_counter()
        if self.resample and self._looks:
            self._images = self._draw(trainer, pl_module)
            self.lens.forget()
        self._images = self._images.to(pl_module.device)
        seen = self.lens.observe(self._images, epoch, step)
        self._warm = [f.detach().cpu() for f in self.lens.warm or ()]
        self.observation = self._with_cost(seen, start)
        self._looks += 1
        return summaries(self.observation, self.prefix)

    def _with_cost(self, seen: Observation, start: float) -> Observation:
        """Adds the writing, whose own cost is known only afterwards: that of the last look stands in for it."""
        now = time.perf_counter()
        cost = now - start + self._writing
        seconds = {**seen.seconds, "writing": self._writing, "total": cost}
        wall = 0.0 if self._since is None else now - self._since
        self._cost += now - start
        self._wall += wall or now - start
        return replace(seen, seconds=seconds, share=min(1.0, cost / wall) if wall else None)

    def _write(self) -> None:
        assert self._sink is not None and self.observation is not None
        start = time.perf_counter()
        try:
            self._sink.write(self.observation)
        finally:
            self._writing = time.perf_counter() - start
            self._cost += self._writing
            self._wall += self._writing

    def _tell(self, pl_module: LightningModule) -> None:
        """To the monitors; the loggers have it from the sink, at the same x as everything else of the look."""
        if self._latest:
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
        if self._sink is not None:
            try:
                self._sink.close()
            except Exception as error:
                self._warn(error)
        if self.verbose and trainer.is_global_zero and self._looks:
            share = f", {self._cost / self._wall:.1%} of the time" if self._wall > 0 else ""
            failed = f"; {self._failures} failed" if self._failures else ""
            rank_zero_info(f"FactorLens: {self._looks} looks in {self._cost:.1f} s{share}{failed}.")

    # ---- state

    @property
    def state_key(self) -> str:
        """Distinct for distinct prefixes, so that two lenses fit in one Trainer."""
        return self._generate_state_key(prefix=self.prefix)

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors alone: checkpoints are loaded with ``weights_only``."""
        return {
            "latest": dict(self._latest),
            "warm": list(self._warm),
            "looks": self._looks,
            "last_step": self._last_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint stopped: the same warm start, the same probe."""
        self._latest, self._warm = dict(state_dict["latest"]), list(state_dict["warm"])
        self._looks, self._last_step = state_dict["looks"], state_dict["last_step"]
