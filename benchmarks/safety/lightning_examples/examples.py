"""Which of Lightning's example scripts are run, with which arguments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One example script.

    Attributes:
        script: Path below ``examples/pytorch``.
        arguments: Arguments of its command line.
        lens: Arguments of `FactorLensCallback` that the script needs, as Python source.
    """

    script: str
    arguments: tuple[str, ...] = ()
    lens: str = ""


EXAMPLES = (
    Example("basics/autoencoder.py", lens="forward_fn=lambda model, batch: model.predict_step(batch, 0)"),
    Example("basics/backbone_image_classifier.py"),
    Example("basics/transformer.py", lens="forward_fn=ForwardArgs([0, 1], target='model')"),
    Example("domain_templates/generative_adversarial_net.py", lens="probe=torch.randn(64, 100)"),
    Example("domain_templates/computer_vision_fine_tuning.py", ("fit", "--model.backbone", "resnet50")),
    Example(
        "domain_templates/semantic_segmentation.py", ("--data_path", "kitti", "--batch_size", "4", "--num_layers", "3")
    ),
    Example("bug_report/bug_report_model.py", lens="lens=LensOptions(layers='layer')"),
)
