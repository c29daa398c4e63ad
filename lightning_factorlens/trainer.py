"""What the callback needs of Lightning's Trainer: how a batch reaches the model, where a point stands, who monitors."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_factorlens.probing.batch import ModelCall, input_of
from lightning_factorlens.probing.guest import preserved_random_states

#: Strategies whose forward pass is a collective, or whose weights lie in pieces.
SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


def refuse_what_cannot_work(trainer: Trainer) -> None:
    """Foreign Trainers and sharded models.

    Raises:
        MisconfigurationException: With what to do instead.
    """
    if type(trainer).__module__.startswith("pytorch_lightning"):
        raise MisconfigurationException(
            "FactorLensCallback belongs to `lightning.pytorch`, this Trainer to `pytorch_lightning`: they are two "
            "import trees that do not mix. Import Trainer and callbacks from `lightning.pytorch`."
        )
    if any(kind.__name__ in SHARDED for kind in type(trainer.strategy).__mro__):
        raise MisconfigurationException(
            f"FactorLensCallback does not support {type(trainer.strategy).__name__} yet: the model's weights lie in "
            "pieces. Use DDP or a single device, or observe a checkpoint with FactorLens."
        )


class Forward:
    """Calls the user's module on a batch the way the Trainer would, without its logging.

    Picklable; one object serves a whole run.
    """

    def __init__(self, trainer: Trainer, pl_module: LightningModule, call: ModelCall | None = None) -> None:
        self.trainer, self.pl_module, self.call = trainer, pl_module, call

    def __call__(self, batch: Any) -> Any:
        """The module's output on a batch: on a bare tensor of inputs, unless a call says otherwise."""
        batch = self.trainer.precision_plugin.convert_input(batch)
        with silent(self.pl_module):
            return self.pl_module(batch) if self.call is None else self.call(self.pl_module, batch)

    def inputs(self, batch: Any) -> Tensor:
        """The tensor of a batch that counts as the input."""
        found: Tensor = getattr(self.call, "inputs", input_of)(batch)
        return found


@contextmanager
def silent(pl_module: LightningModule) -> Iterator[None]:
    """`self.log` in the user's `forward` must not see our batch: inside, it does nothing."""
    names = ("log", "log_dict")
    own = {name: pl_module.__dict__[name] for name in names if name in pl_module.__dict__}
    pl_module.__dict__.update(dict.fromkeys(names, _nothing))
    try:
        yield
    finally:
        for name in names:
            del pl_module.__dict__[name]
        pl_module.__dict__.update(own)


def _nothing(*_: Any, **__: Any) -> None:
    """Stands in for `log`."""


def transfer(trainer: Trainer, batch: Any) -> Any:
    """A collated batch after the user's batch-transfer hooks, on the model's device."""
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)


def validation_source(trainer: Trainer) -> Any:
    """The first validation loader, also where Lightning has not loaded it yet.

    Raises:
        MisconfigurationException: There is none.
    """
    source: Any = trainer.val_dataloaders
    if source is None:
        planned = trainer.fit_loop.epoch_loop.val_loop._data_source
        if planned.is_defined():
            with preserved_random_states():  # the user's `val_dataloader` may draw a split
                source = planned.dataloader()
    if isinstance(source, (list, tuple, dict)):
        source = next(iter(source.values() if isinstance(source, dict) else source), None)
    if source is None:
        raise MisconfigurationException(
            "FactorLensCallback: found no validation dataloader to take unlabeled images from; "
            "pass `probe=` a tensor of images, a dataset or a DataLoader."
        )
    return source


class ProgressLine:
    """A line through the Trainer's progress bar once something takes longer than ``AFTER``, and one when it is over.

    Nothing where there is no bar, or a disabled one, as on every rank but the first.

    Args:
        trainer: Whose bar it is.
        words: What is going on.
        wanted: False stays silent.
    """

    #: Seconds of silence.
    AFTER = 1.0

    def __init__(self, trainer: Trainer, words: str, wanted: bool = True) -> None:
        bar = trainer.progress_bar_callback
        there = wanted and trainer.is_global_zero and bar is not None and not getattr(bar, "is_disabled", False)
        self._bar, self._begun = bar if there else None, False
        self._timer = threading.Timer(self.AFTER, self._begin, [words])
        self._timer.daemon = True

    def __enter__(self) -> ProgressLine:
        if self._bar is not None:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()  # no line may come after the end

    def end(self, words: Callable[[], str]) -> None:
        """Says how it went; only where the first line was said."""
        if self._begun:
            self._say(words())

    def _begin(self, words: str) -> None:
        self._begun = True
        self._say(words)

    def _say(self, words: str) -> None:
        with contextlib.suppress(Exception):  # a bar of the user's own may not print, and training must go on
            assert self._bar is not None
            self._bar.print(words)


def log_step(trainer: Trainer, after_epoch: bool) -> int:
    """The x at which Lightning itself logs in this hook, so that our points stand below the user's.

    Its loop counts on before `on_train_epoch_end` and takes the last batch's step for what is logged there.
    """
    return max(0, int(trainer.fit_loop.epoch_loop._batches_that_stepped) - after_epoch)


def _monitors(trainer: Trainer, prefix: str) -> Iterator[tuple[Any, str]]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith(f"{prefix}/"):
            yield callback, monitor


def tags_of_others(trainer: Trainer, prefix: str) -> list[str]:
    """What other callbacks say, in their attribute ``tags``, that they log under our prefix."""
    named = [getattr(callback, "tags", ()) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    lists = [tags for tags in named if isinstance(tags, (tuple, list))]
    return [tag for tags in lists for tag in tags if isinstance(tag, str) and tag.startswith(f"{prefix}/")]


def hyperparameters(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """The user's, of the module and of the datamodule; the name of the module's class where there are none."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    found = {**pl_module.hparams, **getattr(datamodule, "hparams", {})}
    return found or {"model": type(pl_module).__name__}


def check_monitors(trainer: Trainer, prefix: str, available: Mapping[str, float]) -> None:
    """A callback that monitors us must ask for what there is, and act after the look rather than before.

    Raises:
        MisconfigurationException: Naming the callback and the argument to change.
    """
    others = tags_of_others(trainer, prefix)
    for callback, monitor in _monitors(trainer, prefix):
        call = f"{type(callback).__name__}({getattr(callback, 'monitor_argument', 'monitor')}={monitor!r})"
        if monitor not in available and monitor not in others:
            known = ", ".join(sorted({*available, *others}))
            raise MisconfigurationException(f"{call}: FactorLens logs no such value; there are: {known}.")
        saves = getattr(callback, "_should_save_on_train_epoch_end", None)
        late = getattr(callback, "_check_on_train_epoch_end", True) if saves is None else saves(trainer)
        if late is False:
            flag = "check_on_train_epoch_end" if saves is None else "save_on_train_epoch_end"
            raise MisconfigurationException(
                f"{call} acts after validation, FactorLens looks after that, at the end of the training epoch; "
                f"pass {flag}=True."
            )


def warn_of_endless_epochs(trainer: Trainer) -> None:
    """Looks at the ends of epochs need epochs that end."""
    if (trainer.max_epochs or 0) < 0 and math.isinf(trainer.num_training_batches):
        rank_zero_warn(
            "FactorLensCallback looks when an epoch ends, but max_epochs=-1 and the training loader has no length. "
            "If it never ends, there is one look before training and one after; pass every_n_steps=500, say."
        )


def hold_patience(trainer: Trainer, prefix: str) -> None:
    """A value that is logged again is no new evidence: patience counts looks, not epochs.

    EarlyStopping will read the old value and count one up; this takes that one back in advance.
    """
    for callback in early_stoppings(trainer, prefix):
        callback.wait_count -= 1


def early_stoppings(trainer: Trainer, prefix: str) -> list[EarlyStopping]:
    """Those that monitor us."""
    return [callback for callback, _ in _monitors(trainer, prefix) if isinstance(callback, EarlyStopping)]


@contextmanager
def at_the_end_of_the_last_epoch(trainer: Trainer) -> Iterator[None]:
    """Inside, in `on_train_start` of a resumed run, epoch and x are those of the epoch end that Lightning left out."""
    progress, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop
    progress.completed -= 1
    batches._batches_that_stepped += 1
    try:
        yield
    finally:
        progress.completed += 1
        batches._batches_that_stepped -= 1
