"""Runs the notebooks of docs/notebooks and stores their outputs: ``make notebooks``.

    FACTORLENS_DATA=DIR python docs/make_notebooks.py [NAME …]

DIR has ``cifar10.npz``. What differs between two runs of the same code (times of execution, ids, versions) is removed,
and pictures are stored with at most 256 colours. Every picture needs a text for readers who do not see it: the entry
``alt`` of the cell's metadata has one for each picture of the cell.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "notebooks"
#: Largest size of a notebook with its outputs, in bytes.
MAX_BYTES = 1_500_000
#: Seconds until a cell that has not ended is given up.
TIMEOUT = 1200
#: What other packages say of this machine and of their own installation.
FOREIGN = (r"^/\S*site-packages/.*\n( {2,}.*\n)?", r"^(GPU|TPU|HPU) available.*\n", r"^💡 Tip:.*\n")
#: Colours of a stored picture.
COLOURS = 256
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook as nested dictionaries."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def execute(notebook: Notebook) -> Notebook:
    """A copy with the outputs of a new run in an empty folder.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell has failed.
    """
    import nbformat
    from nbclient import NotebookClient

    data = os.environ.get("FACTORLENS_DATA")
    if data:
        os.environ["FACTORLENS_DATA"] = str(Path(data).resolve())
    with tempfile.TemporaryDirectory() as folder:
        node = nbformat.reads(json.dumps(notebook), as_version=4)
        NotebookClient(node, timeout=TIMEOUT, resources={"metadata": {"path": folder}}).execute()
        text = nbformat.writes(node).replace(folder, "work")
    executed: Notebook = json.loads(text)
    return executed


def cleaned(notebook: Notebook) -> Notebook:
    """A copy without what changes from run to run, with small pictures and their texts.

    Raises:
        ValueError: A picture has no text, or a cell has texts for other pictures.
    """
    notebook = json.loads(json.dumps(notebook))
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number:02d}"
        texts = cell["metadata"].get("alt", [])
        cell["metadata"] = {"alt": texts} if texts else {}
        if cell["cell_type"] == "code":
            cell["outputs"] = _joined_streams(cell["outputs"])
            _describe_pictures(cell, texts, number)
    return notebook


def _joined_streams(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs with pieces of the same stream joined, without messages of other packages about this machine."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] != "stream":
            joined.append({**output, "metadata": {}})
            continue
        text = "".join(output["text"])
        for foreign in FOREIGN:
            text = re.sub(foreign, "", text, flags=re.MULTILINE)
        if not text.strip():
            continue
        if joined and joined[-1].get("name") == output["name"]:
            joined[-1]["text"] += text
        else:
            joined.append({**output, "text": text})
    return joined


def _describe_pictures(cell: dict[str, Any], texts: list[str], number: int) -> None:
    """Makes the pictures of a cell small, and gives each its text."""
    pictures = [output for output in cell["outputs"] if "image/png" in output.get("data", {})]
    if len(pictures) != len(texts):
        raise ValueError(
            f"cell {number} has {len(pictures)} pictures and {len(texts)} texts in its metadata 'alt'; it must have "
            "one text for each picture."
        )
    for output, text in zip(pictures, texts):
        output["data"] = {"image/png": small_picture(output["data"]["image/png"]), "text/plain": [text]}
        output["metadata"] = {"image/png": {"alt": text}}


def small_picture(encoded: str) -> str:
    """A picture in base64 with few colours, on white."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    opaque = Image.new("RGBA", picture.size, "white")
    opaque.alpha_composite(picture)
    file = io.BytesIO()
    opaque.convert("RGB").quantize(COLOURS).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def write(notebook: Notebook, path: Path) -> None:
    """Writes a notebook in the form that Jupyter gives it.

    Raises:
        ValueError: It is too large.
    """
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    size = len(text.encode())
    if size > MAX_BYTES:
        raise ValueError(
            f"{path.name} has {size} bytes; at most {MAX_BYTES} are allowed: use fewer or smaller figures."
        )
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Runs the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names without .ipynb; all unless given")
    names = parser.parse_args().names or [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        print(f"running {path.name} …", flush=True)
        write(cleaned(execute(read(path))), path)
        print(f"  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
