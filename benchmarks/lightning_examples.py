"""Runs Lightning's own example scripts, unchanged, with the lens added to their Trainer.

    python benchmarks/lightning_examples.py --examples CHECKOUT [--data-dir MNIST] [--only WORD]

CHECKOUT is a checkout of Lightning's repository. Each script runs in a process and an empty folder of its own, a few
batches of two epochs on the CPU. What it would download is faked, but for MNIST where ``--data-dir`` has torchvision's.
First with ``FactorLensCallback()`` as it is; where that ends with its error, before training, once more with the
arguments that the error asks for.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # run as a script: the folder above is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.reporting import Figure, close, machine, markdown_table, write_json, write_section

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 900
#: What the lens says of a model that it cannot call.
ASKS = ("calls your LightningModule on a batch of inputs", "found no validation dataloader", "Name layers yourself")


@dataclass(frozen=True)
class Example:
    """A script.

    Attributes:
        script: Below ``examples/pytorch``.
        arguments: Of its command line.
        lens: Arguments of the lens that it needs, as Python.
    """

    script: str
    arguments: tuple[str, ...] = ()
    lens: str = ""


EXAMPLES = (
    Example("basics/autoencoder.py", lens="call=lambda model, batch: model.predict_step(batch, 0)"),
    Example("basics/backbone_image_classifier.py"),
    Example("basics/transformer.py", lens="call=CallWith([0, 1], target='model')"),
    Example("domain_templates/generative_adversarial_net.py", lens="probe=torch.randn(64, 100)"),
    Example("domain_templates/computer_vision_fine_tuning.py", ("fit", "--model.backbone", "resnet50")),
    Example(
        "domain_templates/semantic_segmentation.py", ("--data_path", "kitti", "--batch_size", "4", "--num_layers", "3")
    ),
    Example("bug_report/bug_report_model.py", lens="layers='layer'"),
)


def tags(folder: Path) -> list[str]:
    """The lens's, as TensorBoard would show them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: set[str] = set()
    for file in folder.rglob("events.out.tfevents*"):
        found |= set(EventAccumulator(str(file)).Reload().Tags()["scalars"])
    return sorted(tag for tag in found if tag.startswith("factorlens"))


def run(example: Example, lens: str, args: argparse.Namespace) -> tuple[int, str, list[str]]:
    """One run: the exit code, the last line of what went wrong, the lens's tags."""
    script = args.examples / "examples" / "pytorch" / example.script
    asked = [str(script), "--lens", lens, "--arguments", shlex.join(example.arguments)]
    asked += ["--data-dir", str(args.data_dir.resolve())] if args.data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        code = f"import sys, os; sys.path.insert(0, {str(ROOT)!r}); os.chdir({folder!r}); "
        code += "from benchmarks.lightning_examples_runner import main; main()"
        command = [sys.executable, "-W", "ignore", "-c", code, *asked]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        logged = tags(Path(folder))
    lines = done.stderr.strip().splitlines() or [""]
    told = [line for line in lines if any(words in line for words in (*ASKS, "could not look"))]
    return done.returncode, (told or lines)[-1][:400], logged


def both(example: Example, args: argparse.Namespace) -> dict[str, object]:
    """As it is; then, where the lens asks for more, with that."""
    code, told, logged = run(example, "", args)
    asked = bool(code) and any(words in told for words in ASKS)
    if asked and example.lens:
        question = told
        code, told, logged = run(example, example.lens, args)
    ran = code == 0 and bool(logged) and "could not look" not in told
    lens = f"FactorLensCallback({example.lens if asked else ''})"
    words = question if ran and asked else "" if ran else told
    return {"script": example.script, "ran": ran, "lens": lens, "tags": len(logged), "first": logged[:6], "told": words}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, required=True, help="a checkout of Lightning's repository")
    parser.add_argument("--data-dir", type=Path, help="where torchvision's MNIST lies; faked if not given")
    parser.add_argument("--only", default="", help="scripts whose name holds this word; nothing is written")
    args = parser.parse_args()
    rows = []
    for example in EXAMPLES:
        if args.only in example.script:
            rows.append(both(example, args))
            print(rows[-1], flush=True)
    figures = [Figure("lightning_examples_ran", sum(bool(row["ran"]) for row in rows), 5)]
    cells = [
        (f"`{row['script']}`", "yes" if row["ran"] else "no", f"`{row['lens']}`", str(row["tags"]), str(row["told"]))
        for row in rows
    ]
    if not args.only:
        text = "## Lightning's own examples\n\n`python benchmarks/lightning_examples.py --examples CHECKOUT`: "
        text += f"{(__doc__ or '').split(chr(10))[0]}\n\n"
        text += markdown_table(("script", "ran", "what was added", "tags", "what the lens said to its default"), cells)
        payload = {"machine": machine(["lightning"]), "rows": rows}
        write_json("lightning_examples", payload, figures)
        write_section("lightning_examples", text)
    close(figures)


if __name__ == "__main__":
    main()
