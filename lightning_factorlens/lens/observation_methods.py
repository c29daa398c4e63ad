"""How `FactorLens` makes an observation: kept in its state, left to the caller, or without waiting for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lightning_factorlens._validation import checked_int
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.lens.measurement_pass import CAPTURE_NEEDS, MeasurementPass
from lightning_factorlens.lens.pass_sizes import keep_dependent_passes, limit_passes
from lightning_factorlens.lens.pending_observation import PendingObservation
from lightning_factorlens.lens.phase_timer import PhaseTimer
from lightning_factorlens.lens.selection_methods import SelectionMethods
from lightning_factorlens.measurements import Context, Measurement
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import WarmStart
from lightning_factorlens.run_state.training_loss import checked_training_loss

#: Needs for which layers are selected.
LAYER_NEEDS = CAPTURE_NEEDS | {"gradients"}


class ObservationMethods(SelectionMethods):
    """The methods of `FactorLens` that make observations.

    The docstring of `FactorLens` describes the attributes.
    """

    _cache: dict[str, Any]
    _used: UsedParameters

    def draw(self, probe: Any) -> Probe:
        """The samples as a probe, for several methods that are to see the same ones and draw them once.

        Args:
            probe: See `observe`.
        """
        return self._runner().wrap(probe)

    def observe(
        self,
        probe: Any,
        epoch: int | None = None,
        step: int | None = None,
        training_loss: float | Tensor | None = None,
    ) -> Observation:
        """Makes one observation and keeps it, and the warm start of the next one, in `state`.

        Args:
            probe: Images (N, C, H, W) or other inputs (N, …) as a tensor or an array, a list of images, a batch that
                ``forward_fn`` takes, a `Probe`; or a dataset, a list of samples with labels or a loader, of which
                ``probe_size`` samples are drawn, always the same ones. They are moved to the model's device.
            epoch: Number of finished epochs, not below that of the last observation; None for that one, and 0 before
                the first. At epoch 0 and step 0 the network is untrained: its predictions do not enter later
                pseudo-labels.
            step: Position on the x axis of the loggers; None for that of the last observation, and 0 before the first.
            training_loss: Mean cross-entropy of the training batches since the last observation, in nats, which the
                stop signals read: a number, or a tensor of one number on any device. None for the mean of the losses
                that `record_loss` has received since then, if any. With several processes the mean over all of them is
                taken. Where it is NaN or infinite, the stop signals have no value.

        Returns:
            The records of all measurements.

        Raises:
            ValueError: As `select_layers` raises it; captured values are NaN or infinite, and the message names
                the layer; or ``epoch``, ``step`` or ``training_loss`` is not such a number.
            TypeError: ``training_loss`` is no number.
        """
        last = self.state.history[-1] if self.state.history else Observation(epoch=0, step=0, records={})
        epoch = last.epoch if epoch is None else checked_int("epoch", epoch, 0)
        step = last.step if step is None else checked_int("step", step, 0)
        if epoch < last.epoch:
            raise ValueError(
                f"epoch: found {epoch} after an observation of epoch {last.epoch}, with which the signals of this one "
                f"would be compared. Pass the number of finished epochs, as observe(probe, epoch={last.epoch + 1}, "
                "step=…), and make another FactorLens for another run or network."
            )
        observation, warm_start = self.measure(probe, epoch, step, training_loss=training_loss)
        self.state.record(observation, warm_start)
        self.state.training_loss.reset()
        return observation

    def record_loss(self, loss: float | Tensor) -> None:
        """Takes the loss of one training batch, for the stop signals of the next `observe`.

        They read the mean over all batches since the last observation. Nothing is read from the device before that, so
        that a loop does not wait. Losses that are NaN or infinite are left out of the mean.

        Args:
            loss: The mean cross-entropy of the batch, in nats: a tensor on any device, of which the mean is taken, or a
                number. Where gradients are accumulated, pass it before it is divided by the number of batches.

        Raises:
            TypeError, ValueError: ``loss`` is something else, or an empty tensor.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
            >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
            >>> lens = FactorLens(model, ranks=(1, 2), outputs="classes")
            >>> for images, labels in [(torch.rand(8, 1, 4, 4), torch.arange(8) % 3)]:
            ...     loss = nn.functional.cross_entropy(model(images), labels)
            ...     loss.backward()
            ...     optimizer.step()
            ...     lens.record_loss(loss)
            >>> observation = lens.observe(torch.rand(8, 1, 4, 4), epoch=1, step=1)
            >>> observation["consistency"]["memorization_gap"] >= 0
            True
        """
        self.state.training_loss.record(loss)

    def measure(
        self,
        probe: Any,
        epoch: int = 0,
        step: int = 0,
        measurements: Sequence[Measurement] | None = None,
        training_loss: float | Tensor | None = None,
    ) -> tuple[Observation, WarmStart]:
        """Makes one observation; `state` is read and not changed.

        Args:
            probe: See `observe`.
            epoch: Number of finished epochs. At epoch 0 and step 0 the network is untrained, see `observe`.
            step: Position on the x axis of the loggers.
            measurements: Those of the lens's measurements to make; None for all, which is a full observation.
            training_loss: See `observe`.

        Returns:
            The observation and the warm start of the next one, which keeps what belongs to the other measurements.

        Raises:
            ValueError, TypeError: As `observe` raises them.
        """
        mean_loss = self.state.training_loss.mean(self.process_group, checked_training_loss(training_loss))
        pending, warm_start = self.begin(probe, epoch, step, measurements, training_loss=mean_loss)
        return pending.observation, warm_start

    def begin(
        self,
        probe: Any,
        epoch: int = 0,
        step: int = 0,
        measurements: Sequence[Measurement] | None = None,
        worker: BackgroundWorker | None = None,
        training_loss: float | None = None,
    ) -> tuple[PendingObservation, WarmStart]:
        """Makes one observation as `measure` does, without waiting for what is computed on another thread.

        Args:
            probe: See `observe`.
            epoch: See `measure`.
            step: See `measure`.
            measurements: See `measure`.
            worker: The thread on which parts of measurements are computed, see `Context.deferred`; None for none. With
                several processes it is not used: what each has computed is collected by all of them together.
            training_loss: Mean cross-entropy of the training batches, the same in all processes; None where it is not
                known.

        Returns:
            The observation, which its method ``complete`` makes whole, and the warm start of the next one.

        Raises:
            ValueError: As `observe` raises it.
        """
        runner = self._runner()
        samples = runner.wrap(probe)
        if not self.layer_table and self.needs & LAYER_NEEDS:
            self.select_layers(samples)
        elif not self.layer_table:  # the weights alone are read
            self._check_model()
        context = Context(
            model=self.model,
            options=self.options_for(samples),
            probe=samples,
            epoch=epoch,
            step=step,
            process_group=self.process_group,
            cache=self._cache,
            used=self._used,
            output_decision=self.output_decision,
            training_loss=training_loss,
            worker=worker if self.process_group.world_size == 1 else None,
        )
        runner.decision = self.output_decision
        runner.start_lockstep(samples)
        limit_passes(runner, samples, self.layer_table)
        keep_dependent_passes(runner, samples)
        timer = PhaseTimer(self.state.budget.clock, samples.device)
        chosen = self.measurements if measurements is None else measurements
        previous = self.state.warm_start
        pending, warm_start = MeasurementPass(runner, chosen, self.layer_table, context, previous, timer).run()
        names = [measurement.name for measurement in chosen]
        is_full = len(names) == len(self.measurements)
        pending.observation = replace(pending.observation, is_full=is_full)
        return pending, warm_start if is_full else previous.updated(warm_start, names)

    def reset(self) -> None:
        """Drops the warm start, for a probe of other samples; measurements with a cadence keep it."""
        self.state.warm_start = self.state.warm_start.for_other_samples()
