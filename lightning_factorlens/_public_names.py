"""The names at the top level of the package, by the module that they come from, and the packages beside them.

The names are those that the documentation shows. Those that two modules use are in one place only: `hierarchy` is the
package, the classes of `metrics.torchmetrics` are there, and figures are in `plots`.
"""

from __future__ import annotations

#: Module of the package → the names that it gives.
PUBLIC_NAMES: dict[str, tuple[str, ...]] = {
    "callbacks.factorlens_callback": ("FactorLensCallback",),
    "callbacks.label_free_stopping": ("LabelFreeStopping",),
    "capture": (
        "DrawnBatch", "Probe", "capture_activations", "capture_batches", "isolate_model", "probe_batch",
        "select_layers", "trace_layers",
    ),
    "capture.forward_fn": ("ForwardArgs",),
    "capture.linear_layers": ("linear_layers",),
    "capture.outputs": ("Outputs",),
    "capture.signs": ("Denormalize", "KeepSigned", "Rectify", "Split", "SubtractMin"),
    "concepts": (
        "affinity", "colour_image", "compare_concepts", "concept_changes", "concept_page", "follow_concepts",
        "masked_image", "match_concepts", "name_concepts",
    ),
    "concepts.concept_direction": ("concept_direction",),
    "concepts.latent_image": ("latent_image",),
    "concepts.layer_panels": ("layer_panels",),
    "concepts.neighbours": ("neighbours",),
    "concepts.pixel_mask": ("pixel_mask",),
    "concepts.top_images": ("top_images",),
    "concepts.utilisation": ("utilisation",),
    "config": ("LensOptions", "TensorBoardOptions"),
    "distributed": ("get_process_group",),
    "factorization": ("GroupLasso", "HALS", "L1", "L2", "MultiplicativeUpdates", "factorize", "normalize_columns"),
    "factorization.parafac2": ("parafac2",),
    "factorization.refit_components": ("refit_components",),
    "factorization.sparsity_path": ("sparsity_path",),
    "hierarchy": (
        "VectorCache", "decomposition_panels", "exemplary_images", "hierarchy_report", "image_hierarchy",
        "layer_signals", "leading_split", "projection_maps", "seed_agreement", "similarity_overlay",
    ),
    "hierarchy.class_share": ("class_share",),
    "hierarchy.semantic_structure": ("semantic_structure",),
    "hierarchy.significance": ("significance",),
    "lens": ("FactorLens",),
    "loggers.frames": ("to_frame",),
    "loggers.json_lines": ("JSONLinesSink", "read_jsonl", "write_jsonl"),
    "loggers.tables": ("epoch_line",),
    "loggers.tags": ("monitored_scalars", "other_scalars"),
    "measurements": (
        "ConceptQuality", "Consistency", "Context", "EffectiveRank", "FigureSpec", "Measurement",
        "NeuronSimilarity", "NodeHealth", "ObservationCost", "PerturbationConsistency", "PredictionChange",
        "PredictionConfidence", "RankAtError", "ReconstructionError", "RootMeanSquare", "SVDError", "Scalar",
        "SemanticHierarchy", "UnitPictures", "WeightSpectra", "default_measurements",
    ),
    "metrics.agreement": ("CosineDistance",),
    "metrics.confidence": ("confidence", "entropy", "kl_to_uniform", "mutual_information"),
    "metrics.consistency": ("alternating_shift", "consistency"),
    "metrics.nuclear_norm": ("nuclear_norm",),
    "metrics.prediction_changes": ("mean_total_variation", "prediction_changes"),
    "metrics.rankme": ("rankme",),
    "metrics.shifts": ("ImageShift",),
    "metrics.temporal_ensemble": ("TemporalEnsemble",),
    "report.writing": ("write_report",),
    "results": ("Block", "History", "Observation"),
    "spectra": (
        "add_correlation_traps", "add_goodness_of_fit", "alpha_summary", "bulk_edge",
        "circular_singular_values", "compare_power_law", "dense_operator", "fit_like_weightwatcher",
        "fit_power_law", "spectra_frame", "squared_singular_values", "unfold_weight",
    ),
    "spectra.correlation_traps": ("correlation_traps",),
    "spectra.goodness_of_fit": ("goodness_of_fit",),
    "spectra.layer_spectra": ("layer_spectra",),
    "spectra.tensor_svd": ("tensor_svd",),
    "stopping": (
        "AfterAnnealing", "AfterWarmup", "AllOf", "AnyOf", "BestEpochBehind", "Decision", "EpochInfo",
        "GeneralizationLoss", "MannKendall", "Maximize", "MinEpochs", "OnMetric", "Patience", "Plateau", "Rule",
        "ScheduledPatience", "Smoothed", "Smoothing", "State", "annealing_rule", "default_rule", "epoch_infos",
    ),
    "stopping.replay": ("replay",),
    "visualization": (
        "Adam", "Channel", "Direction", "Fourier", "Jitter", "Logit", "MagnitudeConstrained", "Neuron",
        "NormalizedAscent", "Objective", "Optimizer", "Pad", "Parametrization", "Pixels", "Rotate", "Scale",
        "Settings", "SingularVector", "Term", "Transform", "UnsupportedOperationError", "WeightedSum",
    ),
    "visualization.leading_vectors": ("leading_vectors",),
    "visualization.unit_spread": ("unit_spread",),
    "visualization.weight_pictures": ("weight_pictures",),
}  # fmt: skip
#: The same for names whose modules import packages that need not be installed.
OPTIONAL_NAMES: dict[str, tuple[str, ...]] = {"integrations.hugging_face": ("HuggingFaceCallback",)}
#: Packages that are attributes of this one without an import of their own, such as ``lightning_factorlens.plots``.
PUBLIC_PACKAGES = (
    "capture",
    "concepts",
    "factorization",
    "hierarchy",
    "measurements",
    "metrics",
    "plots",
    "report",
    "results",
    "spectra",
    "stopping",
    "visualization",
)
