"""Section: pictures that the leading directions of chosen layers respond to, beside real images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_factorlens.plots.feature_visualization import to_colours
from lightning_factorlens.report.class_words import percent, two_digits
from lightning_factorlens.report.parts import Gallery, Group, Part, Picture, Table, Text
from lightning_factorlens.report.section import Section, for_each
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.report.tiles import Tile, grid, tile_picture
from lightning_factorlens.results import FeatureVisualization, Observation, UnitPicturesRecord

RECORD = "unit_pictures"
#: Real images beside a picture, in two rows, and the width of one in CSS pixels.
N_EXEMPLARS = 6
TILE = 50
NO_PICTURES = (
    "The record has the numbers alone. The pictures lie in a file beside it (.pictures), which JSONLinesSink writes; "
    "without that file, report a checkpoint of the run with --model and --data."
)


def _build(subjects: Sequence[Subject]) -> list[Part]:
    return for_each(subjects, _parts)


def _parts(subject: Subject) -> list[Part]:
    history = subject.until(RECORD)
    if not history:
        return []
    record: UnitPicturesRecord = history[-1][RECORD]
    parts: list[Part] = [Text(_sentence(history[-1], record))]
    if record.found is None:
        parts.append(Text(NO_PICTURES))
    else:
        for layer in record.layers:
            pictures = _pictures(record.found, layer)
            if pictures:
                parts.append(Group(f"Layer {layer}", [Gallery(pictures)]))
    parts.append(Group("The layers in numbers", [_numbers(history, record)], is_folded=True))
    return parts


def _sentence(observation: Observation, record: UnitPicturesRecord) -> str:
    text = f"Pictures for the leading singular vectors of {len(record.layers)} layers at epoch {observation.epoch}"
    found = record.found
    if found is None:
        return f"{text}."
    text += f", {len(found)} in all"
    if bool(found.is_live.any()):
        text += f"; {percent(found.share_above)} of them excite their vector more than every real image does"
    return (
        f"{text}. More are made by UnitPictures(layers=(…), count=…) in a run, and by --pictures and --picture_layers "
        "of a checkpoint."
    )


def _pictures(found: FeatureVisualization, layer: str) -> list[Picture]:
    """The pictures of one layer, each with the real images of the largest signals beside it."""
    pictures = []
    for index, name in enumerate(found.names):
        if name.startswith(f"{layer} vector "):
            pictures.append(_picture(found, index, layer, name.removeprefix(f"{layer} ")))
    return pictures


def _picture(found: FeatureVisualization, index: int, layer: str, vector: str) -> Picture:
    exemplars = [to_colours(image) for image in found.exemplar_pictures(index)[:N_EXEMPLARS]]
    across = -(-len(exemplars) // 2)
    tiles = [Tile(to_colours(found.pictures[index]), 0, 0, size=2), *grid(exemplars, across, column=2)]
    alt = (
        f"Left, the picture made for {vector} of layer {layer}; right, the {len(exemplars)} real images that excite it "
        "most."
    )
    score, best = float(found.scores[index]), float(found.best_scores[index])
    cosine = two_digits(float(found.exemplar_cosine[index]))
    caption = f"{vector}: signal {score:.3g}, best real image {best:.3g}; likeness {cosine}"
    if not bool(found.is_live[index]):
        caption = f"{vector}: the same signal for all real images"
    return tile_picture(tiles, TILE, alt, caption)


def _numbers(history: Sequence[Observation], record: UnitPicturesRecord) -> Table:
    first: UnitPicturesRecord | None = history[0].get(RECORD) if len(history) > 1 else None
    header = ["layer", "likeness to its real images", "to all images"]
    header += [f"to its real images at epoch {history[0].epoch}"] if first is not None else []
    rows = []
    for layer, near, far in zip(record.layers, record.exemplar_cosines, record.probe_cosines):
        cells = [layer, two_digits(near), two_digits(far)]
        if first is not None:
            earlier = dict(zip(first.layers, first.exemplar_cosines)).get(layer, math.nan)
            cells.append(two_digits(earlier))
        rows.append(cells)
    return Table("Mean cosine between what the layer gives for a picture and for real images", header, rows)


FEATURE_VISUALIZATION = Section(
    "Feature visualisation",
    "feature-visualisation",
    "Each large picture was made by gradient ascent so that one of the leading singular vectors of a layer's weights "
    "answers it as strongly as possible. The small images beside it are the real ones that excite the vector most. "
    "Likeness is the cosine between what the layer gives for the picture and for these images: near 1, the layer takes "
    "the picture for what they are. A signal above that of every real image is no sign of learning: untrained networks "
    "reach it as well.",
    "Add the measurement UnitPictures() to the lens, or report a checkpoint with --model and --data.",
    _build,
)
