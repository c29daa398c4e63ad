"""What `FactorLens` finds out about concepts: the concepts themselves, how stable they are, and TCAV."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from lightning_factorlens.concepts.blocks import concept_blocks
from lightning_factorlens.concepts.captured_probe import CapturedProbe
from lightning_factorlens.concepts.late_fit import check_rank
from lightning_factorlens.concepts.matching import SAME
from lightning_factorlens.concepts.predictions import PREDICTIONS, class_probabilities, predicted_classes
from lightning_factorlens.concepts.stability import ConceptStability, measure_stability
from lightning_factorlens.concepts.tcav import check_same_inputs, tcav
from lightning_factorlens.lens.selection_methods import SelectionMethods
from lightning_factorlens.results import Concepts, TCAVResult


class ConceptMethods(SelectionMethods):
    """The methods of `FactorLens` for concepts.

    The docstring of `FactorLens` describes the attributes.
    """

    @abstractmethod
    def _copy(self) -> ConceptMethods:
        """A lens of the same model and options that has selected no layers."""

    def concepts(
        self,
        probe: Any,
        rank: int = 10,
        fit_on: str | Sequence[str] = "late",
        *,
        start: Concepts | Literal["random"] | None = None,
        seed: int | None = None,
    ) -> Concepts:
        """Finds what the model's factors mean, with one forward pass of the probe; `state` is not changed.

        `lightning_factorlens.concepts` has the functions that show, name and test the concepts. Labels have no
        influence on them.

        Args:
            probe: See `observe`.
            rank: Number of concepts, at most the number of samples; the ranks of the options do not enter the fit.
            fit_on: The blocks that decide what a concept is: ``"late"``, the last two layers that are not zero;
                ``"all"``, the inputs and all layers; or names of blocks, such as ``["features.1", "input/0"]``. All
                other blocks are joined by non-negative least squares. On a ResNet-10 trained on CIFAR-10, at rank 10,
                0.89 of a concept's 16 top images are of one class with ``"late"``, and 0.58 with ``"all"``.
            start: Earlier concepts of the same probe and rank, e.g. those of the last epoch: the fit continues from
                them, and concept k is what has become of their concept k. ``"random"``: from random values without
                NNDSVD, to see which concepts depend on the initial values.
            seed: Seed of the random initial values; that of the options unless given.

        Returns:
            The concepts, on the CPU.

        Raises:
            ValueError: A rank that is not from 1 to the number of samples, unknown names, a model that is zero in all
                layers, a ``start`` of other samples or of another rank, captured values that are NaN or infinite, or
                sharded parameters; or the lens divides its work between several processes.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
            >>> FactorLens(model, outputs="classes").concepts(torch.rand(32, 1, 8, 8), rank=4)
            Concepts(rank=4, samples=32, fitted on 2, 1 blocks joined, relative error ...)
        """
        return self._captured_probe(probe, rank).fit(rank, fit_on, start, seed)

    def concept_stability(
        self,
        probe: Any,
        rank: int = 10,
        fit_on: str | Sequence[str] = "late",
        *,
        restarts: int = 5,
        other_probe: Any = None,
        threshold: float = SAME,
    ) -> ConceptStability:
        """Finds which concepts are found again by other fits, with one forward pass of each probe.

        Args:
            probe: See `observe`.
            rank: See `concepts`.
            fit_on: See `concepts`.
            restarts: Number of fits with another seed, and number of fits from random values.
            other_probe: Other samples, whose concepts are matched by their neurons; none unless given.
            threshold: A concept survives where the median of its matched cosines is at least this.

        Returns:
            The concepts of the probe, and the cosine of each with its partner in every other fit.

        Raises:
            ValueError: As `concepts` raises it, or fewer than two samples for each concept, so that it cannot be
                fitted to both halves of the probe.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
            >>> stability = FactorLens(model).concept_stability(torch.rand(32, 1, 8, 8), rank=2, restarts=2)
            >>> stability.survives.tolist()
            [True, True]
        """
        captured = self._captured_probe(probe, rank)
        other = None if other_probe is None else self._captured_probe(other_probe, rank)
        return measure_stability(captured, rank, fit_on, restarts=restarts, other=other, threshold=threshold)

    def _captured_probe(self, probe: Any, rank: int) -> CapturedProbe:
        """The probe after its forward pass."""
        self._check_one_process("concepts")
        runner = self._runner()
        samples = runner.wrap(probe)
        check_rank(rank, len(samples))
        if not self._fits_layers(samples):
            return self._copy()._captured_probe(samples, rank)
        runner.decision = self.output_decision
        with runner.isolated():
            capture, _ = runner.capture(samples, self.layer_table)
        options = self.options
        blocks = concept_blocks(
            samples.inputs, capture.layers, options.input_sign_policy, options.activation_sign_policy
        )
        return CapturedProbe(
            tuple(blocks),
            samples.inputs,
            predicted_classes(capture.outputs),
            class_probabilities(capture.outputs),
            options.weighting,
            options.solver,
            options.seed,
        )

    def tcav(
        self,
        probe: Any,
        concepts: Concepts,
        classes: str | Sequence[int | None] | Tensor = PREDICTIONS,
        *,
        vectors: str = "mean",
        count: int = 16,
        draws: int | None = None,
    ) -> TCAVResult:
        """How the score of every class changes along every concept, in every captured layer.

        One forward pass of the probe and one backward pass; `state` is not changed. Samples must not influence one
        another, as they do in a batch norm without running statistics. Kim et al. (2018),
        "Interpretability beyond feature attribution: quantitative testing with concept activation vectors (TCAV)".

        Args:
            probe: The samples in which the concepts were found.
            concepts: From `concepts`; their top images are the images of the concept.
            classes: The class of every image, of which the score is differentiated: ``"predictions"``, that which the
                model predicts, or one position in the model's output for each image, −1 or None for none.
            vectors: The vector of a concept in a layer: ``"mean"``, mean of the top images minus that of all images;
                ``"difference"``, minus that of random images, as many; ``"classifier"``, unit normal of a logistic
                regression between top and random images.
            count: Number of top images of a concept, below the number of images.
            draws: Number of random sets of images behind the p-values; None for as many as the correction needs, at
                most 200,000.

        Returns:
            The derivatives; compare them with those of the untrained network, see `TCAVResult.agreement`.

        Raises:
            ValueError: Other samples than those of the concepts, an output that is not read as class scores or has no
                gradients, unknown classes, activations or gradients that are NaN or infinite, or a wrong number; or the
                lens divides its work between several processes.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> from lightning_factorlens import FactorLens
            >>> _ = torch.manual_seed(0)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))
            >>> lens, images = FactorLens(model, outputs="classes"), torch.rand(32, 1, 8, 8)
            >>> lens.tcav(images, lens.concepts(images, rank=4), count=8).mean_derivative.shape[2]
            4
        """
        self._check_one_process("concepts")
        runner = self._runner()
        samples = runner.wrap(probe)
        check_same_inputs(samples.inputs, concepts)
        if not self._fits_layers(samples):
            return self._copy().tcav(samples, concepts, classes, vectors=vectors, count=count, draws=draws)
        captures = runner.gradient_captures(samples, self.layer_table, False, self.output_decision)
        return tcav(captures, concepts, classes, vectors, count, draws, self.options.seed)
