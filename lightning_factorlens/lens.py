"""FactorLens: one observation of one model, made by the other packages together, without lightning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from torch import Size, Tensor, nn

from lightning_factorlens._validation import check_int, checked_int
from lightning_factorlens.argument_advice import FOR_LENS
from lightning_factorlens.background import BackgroundWorker
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.default_layers import TracedOutput
from lightning_factorlens.capture.forward_fn import ForwardFn, check_forward_fn
from lightning_factorlens.capture.forward_gradients import ForwardNeeds
from lightning_factorlens.capture.out_of_memory import run_pass
from lightning_factorlens.capture.output_parts import OutputPart
from lightning_factorlens.capture.output_reader import OutputReader
from lightning_factorlens.capture.outputs import OutputDecision, Outputs, check_outputs
from lightning_factorlens.capture.parameter_values import check_parameter_values
from lightning_factorlens.capture.refused_inputs import describe_refused_inputs
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.capture.sharding_problems import sharding_problem
from lightning_factorlens.capture.size_changes import compare_sizes
from lightning_factorlens.capture.used_parameters import UsedParameters
from lightning_factorlens.capture.wrapped_model import unwrap_model
from lightning_factorlens.concept_methods import ConceptMethods
from lightning_factorlens.config import PROBE_SIZE, LensOptions, options_with
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.hierarchy_methods import HierarchyMethods
from lightning_factorlens.layer_methods import LayerMethods
from lightning_factorlens.measurement_pass import CAPTURE_NEEDS, MeasurementPass, PhaseTimer
from lightning_factorlens.measurements import Context, Measurement, check_measurements, default_measurements
from lightning_factorlens.model_runner import CaptureSource, ModelRunner
from lightning_factorlens.pending_observation import PendingObservation
from lightning_factorlens.results import LayerInfo, Observation
from lightning_factorlens.results.layer_table import LayerTable, lens_html, lens_text
from lightning_factorlens.run_state import RunState, WarmStart
from lightning_factorlens.training_loss import checked_training_loss
from lightning_factorlens.visualization_methods import VisualizationMethods

#: Samples in the trace that finds the layers: enough to see a sign.
TRACE_BATCH = 4
#: Samples in the forward pass that finds the parts of the output.
OUTPUT_BATCH = 3
#: Needs for which layers are selected.
LAYER_NEEDS = CAPTURE_NEEDS | {"gradients"}


@dataclass(repr=False, init=False)
class FactorLens(ConceptMethods, HierarchyMethods, LayerMethods, VisualizationMethods):
    """Observes a model through unlabelled samples.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> lens = FactorLens(model, ranks=(1, 4))
        >>> observation = lens.observe(torch.rand(32, 1, 8, 8))
        >>> len(observation["reconstruction_error"]["total"].rel_error)
        2

    Attributes:
        model: The model; it is left exactly as found. Of a module of Lightning Fabric, ``DistributedDataParallel`` or
            ``DataParallel`` it is the network inside, whose layers have the names that they have without the wrapper.
        options: What to capture and how to factorise it.
        measurements: What to measure; `default_measurements` unless given.
        forward_fn: ``(model, batch) → output``, for models that need more of a batch than one tensor, e.g.
            ``ForwardArgs(["image", "mask"])``; the model itself unless given. Where it has a method
            ``inputs(batch)``, that selects the tensor that counts as the input; else `find_inputs` does.
        forward_context: Makes the context of every forward pass, e.g. a Trainer's autocast.
        process_group: The processes between which the work is divided, see `get_process_group`; each must call
            `measure` inside ``process_group.synchronized_errors()``. Of a sharded model, those that hold its parts.
        outputs: What the model's output is: ``"classes"``, ``"multilabel"``, ``"regression"``, ``"embedding"``, another
            of `capture.outputs.KINDS`, or an object such as ``Outputs("classes", key="sex")``. None decides by a
            softmax in the model or by its torchmetrics modules; where neither tells, no class scores are read.
        state: The state that is kept from one observation to the next.
        probe_size: Number of samples that are drawn where a dataset or a loader is passed as a probe.
        layer_table: The layers that were selected and those that were not, with the reasons; empty before the first
            observation. ``print(lens.layer_table)`` shows it whole.
        output_decision: Which part of the output is read, as what, and why.
        capture_source: Where captures of the probe come from, see `ModelRunner.source`; None for passes of the lens.

    Raises:
        ValueError, TypeError: A wrong argument; the message names it.
    """

    model: nn.Module
    options: LensOptions
    measurements: Sequence[Measurement]
    forward_fn: ForwardFn | None
    forward_context: Callable[[], AbstractContextManager[Any]]
    process_group: SingleProcess
    state: RunState
    outputs: str | Outputs | None
    probe_size: int

    def __init__(
        self,
        model: nn.Module,
        options: LensOptions | None = None,
        measurements: Sequence[Measurement] | None = None,
        forward_fn: ForwardFn | None = None,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        process_group: SingleProcess | None = None,
        state: RunState | None = None,
        outputs: str | Outputs | None = None,
        probe_size: int = PROBE_SIZE,
        **lens_options: Any,
    ) -> None:
        """See the class; ``lens_options`` are fields of `LensOptions`, such as ``ranks=(1, 4)``."""
        if not isinstance(model, nn.Module):
            found = shorten(repr(model), 80, placeholder=" …")
            raise TypeError(
                f"model: must be a torch.nn.Module, found {found}. Make an object of its class first, and give it the "
                "weights of a checkpoint with its method load_state_dict."
            )
        check_int("probe_size", probe_size, 1)
        self.model, self.forward_fn = unwrap_model(model, check_forward_fn(forward_fn))
        self.options = options_with(options, lens_options, advice=FOR_LENS)
        self.measurements = check_measurements(default_measurements() if measurements is None else measurements)
        self.forward_context = forward_context
        self.process_group = SingleProcess() if process_group is None else process_group
        self.state = RunState() if state is None else state
        self.outputs = outputs
        self.probe_size = probe_size
        self.output_word = check_outputs(outputs)
        self.layer_table: list[LayerInfo] = LayerTable()
        self.output_reader: OutputReader | None = None
        self.output_decision = OutputDecision()
        self.capture_source: CaptureSource | None = None
        self._cache: dict[str, Any] = {}
        self._traced_shape: Size | None = None
        self._used = UsedParameters()
        self._forward_needs = ForwardNeeds()

    def __repr__(self) -> str:
        return lens_text(type(self.model).__name__, self.options.ranks, self.layer_table)

    def _repr_html_(self) -> str:
        return lens_html(type(self.model).__name__, self.options.ranks, self.layer_table)

    @property
    def needs(self) -> frozenset[str]:
        """All needs of the measurements."""
        needs: set[str] = set()
        for measurement in self.measurements:
            needs |= measurement.needs
        return frozenset(needs)

    def select_layers(self, probe: Any, previous: Collection[str] = ()) -> list[LayerInfo]:
        """Finds the layers with one forward pass of a few samples; `measure` calls it unless that was done before.

        Args:
            probe: The samples, as in `observe`.
            previous: Names of the layers selected before a run was interrupted, see `capture.selection.select_layers`.

        Returns:
            One entry for each tensor of the forward pass: whether it is selected, and why.

        Raises:
            ValueError: Patterns that match nothing, fewer samples than the largest rank that was given, or a model
                whose parameters have no values or are divided in a way that cannot be observed.
            RuntimeError: The model's forward pass fails; the message says with samples of which shape and type.
        """
        runner = self._runner()
        samples = runner.wrap(probe)
        self._check_model()
        runner.start_lockstep(samples)
        self.options_for(samples)
        traces: list[list[TracedOutput]] = []

        def trace(batch: Batch, _: int) -> None:
            with describe_refused_inputs(self.model, batch):
                traces.append(runner.trace(batch))

        run_pass(samples, trace, samples.smallest_batch, TRACE_BATCH)
        traced = traces[0]
        if len(samples.whole) > 1:
            run_pass(samples, trace, samples.largest_batch, TRACE_BATCH)
            traced = compare_sizes(*traces)
        table = select_layers(traced, self.options.layers, previous)
        self.layer_table = LayerTable(self.process_group.broadcast_object(lambda: table))
        self._traced_shape = samples.inputs.shape[1:]
        self._decide_outputs(runner, samples)
        return self.layer_table

    def options_for(self, probe: Probe) -> LensOptions:
        """The options with which a probe is measured: default ranks above its number of samples are left out.

        Raises:
            ValueError: A rank that the user gave is above the number of samples.
        """
        if "factorization" not in self.needs:
            return self.options
        return self.options.for_samples(len(probe), probe.is_limited)

    def _decide_outputs(self, runner: ModelRunner, probe: Probe) -> None:
        """Decides which part of the output is read, the same in all processes.

        A decision that `state` holds is kept, unless the user says otherwise.
        """
        found: list[tuple[OutputPart, ...]] = []
        run_pass(
            probe, lambda batch, _: found.append(runner.inspect_outputs(batch)), probe.smallest_batch, OUTPUT_BATCH
        )
        self.output_reader = OutputReader(self.model, found[0], self.output_word)
        decision = self.output_reader.decide()
        if self.output_word is None and self.state.output_decision is not None:
            decision = self.state.output_decision
        self.output_decision = self.process_group.broadcast_object(lambda: decision)

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
            epoch: See `observe`.
            step: See `observe`.
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
            epoch: See `observe`.
            step: See `observe`.
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
        runner.limit_passes(samples, self.layer_table)
        runner.keep_dependent_passes(samples)
        timer = PhaseTimer(self.state.budget.clock, samples.device)
        chosen = self.measurements if measurements is None else measurements
        previous = self.state.warm_start
        pending, warm_start = MeasurementPass(runner, chosen, self.layer_table, context, previous, timer).run()
        names = [measurement.name for measurement in chosen]
        is_full = len(names) == len(self.measurements)
        pending.observation = replace(pending.observation, is_full=is_full)
        return pending, warm_start if is_full else previous.updated(warm_start, names)

    def _fits_layers(self, samples: Probe) -> bool:
        """Whether the layers are those of samples of this shape; images of another size have layers of another size."""
        if not self.layer_table:
            self.select_layers(samples)
        return self._traced_shape in (None, samples.inputs.shape[1:])

    def _copy(self) -> FactorLens:
        """A lens of the same model and options that has selected no layers."""
        return replace(self)

    def reset(self) -> None:
        """Drops the warm start, for a probe of other samples; measurements with a cadence keep it."""
        self.state.warm_start = self.state.warm_start.for_other_samples()

    def _check_model(self) -> None:
        """Refuses parameters without values, and divisions between processes under which the numbers would be wrong."""
        check_parameter_values(self.model)
        problem = sharding_problem(self.model, self.process_group, "gradients" in self.needs)
        if problem:
            raise ValueError(f"model: {problem}")
        for measurement in self.measurements:
            measurement.check_model(self.model)

    def _runner(self) -> ModelRunner:
        return ModelRunner(
            self.model,
            self.options,
            self.forward_fn,
            self.forward_context,
            self.process_group,
            used=self._used,
            needs=self._forward_needs,
            probe_size=self.probe_size,
            source=self.capture_source,
        )
