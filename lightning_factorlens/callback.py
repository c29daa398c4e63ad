"""FactorLensCallback: when to look, on which rank, whom to tell. No mathematics; the only importer of lightning."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_factorlens.factorization import Solver, Weighting
from lightning_factorlens.lens import FactorLens, LensOptions
from lightning_factorlens.probing.images import ProbeSource, probe_images
from lightning_factorlens.probing.selection import LayerPatterns
from lightning_factorlens.probing.signs import SignPolicy
from lightning_factorlens.sinks.loggers import LoggerSink
from lightning_factorlens.sinks.tables import layer_table
from lightning_factorlens.sinks.tags import checked_prefix, summaries
from lightning_factorlens.types import LayerChoice, Observation

#: Strategies whose forward pass is a collective, or whose weights lie in pieces.
SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


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
        figures_every: Pictures at the first and every so many looks; 0 for none.
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
        for name, value, least in (
            ("probe_size", probe_size, 1),
            ("every_n_epochs", every_n_epochs, 1),
            ("every_n_steps", 1 if every_n_steps is None else every_n_steps, 1),
            ("figures_every", figures_every, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: must be a whole number ≥ {least}, found {value!r}.")
        checked_prefix(prefix)
        if on_error not in ("warn", "raise"):
            raise ValueError(f"on_error: found {on_error!r}, allowed are 'warn', 'raise'.")
        self.probe, self.probe_size, self.resample = probe, probe_size, resample
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.prefix, self.layout, self.figures_every = prefix, layout, figures_every
        self.verbose, self.on_error = verbose, on_error
        self.lens: FactorLens | None = None
        self.observation: Observation | None = None
        self._images: Tensor | None = None
        self._sink: LoggerSink | None = None
        self._latest: dict[str, float] = {}
        self._warm: list[Tensor] = []
        self._looks, self._last_step, self._failures = 0, -1, 0
        self._since: float | None = None
        self._cost, self._wall = 0.0, 0.0

    # ---- before training: everything that can be wrong is found here

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work."""
        if type(trainer).__module__.startswith("pytorch_lightning"):
            raise MisconfigurationException(
                "FactorLensCallback belongs to `lightning.pytorch`, this Trainer to `pytorch_lightning`: they are two "
                "import trees that do not mix. Import Trainer and callbacks from `lightning.pytorch`."
            )
        strategy = type(trainer.strategy).__name__
        if strategy in SHARDED:
            raise MisconfigurationException(
                f"FactorLensCallback does not support {strategy} yet: the model's weights lie in pieces. "
                "Use DDP or a single device, or observe a checkpoint with FactorLens."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws the probe, chooses the layers, and looks once before the first step."""
        table: list[LayerChoice] = []
        if trainer.is_global_zero:
            self._images = self._draw(trainer, pl_module)
            self.lens = FactorLens(
                pl_module, self.options, _Forward(trainer, pl_module), trainer.precision_plugin.forward_context
            )
            self.lens.warm = tuple(self._warm) or None
            table = self._choose()
            self._sink = LoggerSink(trainer.loggers, self.prefix, layout=self.layout, figures_every=self.figures_every)
        if self.verbose and table:
            rank_zero_info("FactorLens watches these layers:\n" + layer_table(table))
        if trainer.global_step == 0:
            self._look(trainer, pl_module, epoch=0, step=_log_step(trainer, after_epoch=False))
            _check_monitors(trainer, self.prefix, self._latest)
        self._since = time.perf_counter()

    def _choose(self) -> list[LayerChoice]:
        assert self.lens is not None and self._images is not None
        try:
            return self.lens.choose(self._images)
        except NotImplementedError as error:
            raise MisconfigurationException(
                f"FactorLensCallback calls your LightningModule on a batch of images: {error}. "
                "Define `forward(self, x)`."
            ) from error

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Tensor:
        source: Any = self.probe
        if source is None:
            source = trainer.val_dataloaders
            if isinstance(source, (list, tuple, dict)):  # several loaders: the first
                source = next(iter(source.values() if isinstance(source, dict) else source), None)
        if source is None:
            raise MisconfigurationException(
                "FactorLensCallback: found no validation dataloader to take unlabeled images from; "
                "pass `probe=` a tensor of images, a dataset or a DataLoader."
            )
        images = probe_images(source, self.probe_size, self.options.seed + (self._looks if self.resample else 0))
        return images.to(pl_module.device)

    # ---- during training: nothing that goes wrong here may cost the run

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks on the cadence in steps; an accumulated batch repeats its step and is not looked at twice."""
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step != self._last_step:
            self._look(trainer, pl_module, trainer.current_epoch, _log_step(trainer, after_epoch=False))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks on the cadence in epochs; in between, the last summaries are logged again for whoever monitors them."""
        epoch = trainer.current_epoch + 1
        if self.every_n_steps is None and epoch % self.every_n_epochs == 0:
            self._look(trainer, pl_module, epoch, _log_step(trainer, after_epoch=True))
        else:
            self._tell(pl_module)

    def _look(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int) -> None:
        """Rank 0 looks and writes; every rank learns the summaries and logs the same keys."""
        self._last_step = trainer.global_step
        found: dict[str, float] | None = None
        if trainer.is_global_zero:
            found = self._guarded(lambda: self._observe(trainer, pl_module, epoch, step))
        found = trainer.strategy.broadcast(found)
        self._latest.update(found or {})
        self._tell(pl_module)
        self._since = time.perf_counter()

    def _observe(self, trainer: Trainer, pl_module: LightningModule, epoch: int, step: int) -> dict[str, float]:
        assert self.lens is not None and self._images is not None and self._sink is not None
        start = time.perf_counter()
        if self.resample and self._looks:
            self._images = self._draw(trainer, pl_module)
            self.lens.forget()
        self._images = self._images.to(pl_module.device)
        seen = self.lens.observe(self._images, epoch, step)
        self._warm = [f.detach().cpu() for f in self.lens.warm or ()]
        self.observation = seen = _with_share(seen, start, self._since)
        self._looks += 1
        self._cost += time.perf_counter() - start
        self._wall += time.perf_counter() - (self._since or start)
        self._sink.write(seen)
        return summaries(seen, self.prefix)

    def _tell(self, pl_module: LightningModule) -> None:
        """To the monitors; the loggers have it from the sink, at the same x as everything else of the look."""
        if self._latest:
            pl_module.log_dict(self._latest, logger=False, on_step=False, on_epoch=True)

    def _guarded(self, work: Callable[[], dict[str, float]]) -> dict[str, float] | None:
        if self.on_error == "raise" or not self._looks:  # the first look is before training: a mistake to be shown
            return work()
        try:
            return work()
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                rank_zero_warn(
                    f"FactorLens could not look: {type(error).__name__}: {error} Training goes on, "
                    "further failures stay silent; pass on_error='raise' to see where it comes from."
                )
            return None

    # ---- after training

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Says what it cost."""
        if self._sink is not None:
            self._sink.close()
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


class _Forward:
    """Calls the user's module on images the way the Trainer would."""

    def __init__(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trainer, self.pl_module = trainer, pl_module

    def __call__(self, images: Tensor) -> Any:
        return self.pl_module(self.trainer.precision_plugin.convert_input(images))


def _log_step(trainer: Trainer, after_epoch: bool) -> int:
    """The x at which Lightning itself logs in this hook, so that our points stand below the user's.

    Its loop counts on before `on_train_epoch_end` and takes the last batch's step for what is logged there.
    """
    return max(0, int(trainer.fit_loop.epoch_loop._batches_that_stepped) - after_epoch)


def _with_share(seen: Observation, start: float, since: float | None) -> Observation:
    wall = None if since is None else time.perf_counter() - since
    return replace(seen, share=None if wall is None else min(1.0, (time.perf_counter() - start) / wall))


def _check_monitors(trainer: Trainer, prefix: str, available: dict[str, float]) -> None:
    """A callback that monitors us must ask for what there is, and after the look rather than before."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str) or not monitor.startswith(f"{prefix}/"):
            continue
        call = f"{type(callback).__name__}(monitor={monitor!r})"
        if monitor not in available:
            known = ", ".join(sorted(available))
            raise MisconfigurationException(f"{call}: FactorLens logs no such value; there are: {known}.")
        for flag in ("check_on_train_epoch_end", "save_on_train_epoch_end"):
            if getattr(callback, f"_{flag}", None) is False:
                raise MisconfigurationException(
                    f"{call} acts after validation, FactorLens looks after that, at the end of the training epoch; "
                    f"pass {flag}=True."
                )
