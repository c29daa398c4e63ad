"""What can be measured of a figure: whether its text can be read and its values are explained.

Boxes are those of matplotlib's renderer, in pixels.
"""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.image import AxesImage
from matplotlib.text import Text

#: Colours of the pages that a figure is shown on: a white one, and the cards of TensorBoard's dark theme.
PAGES = {"white": (1.0, 1.0, 1.0), "dark": (48 / 255,) * 3}
#: Contrast that WCAG 2.1 asks of text and of graphics.
TEXT_CONTRAST = 4.5
LINE_CONTRAST = 3.0
#: Smallest type in points. TensorBoard halves it: 9.5 points are 8 pixels there.
SMALLEST_TYPE = 8.5
#: Pixels by which boxes may overlap: glyphs do not fill theirs.
TOLERANCE = 1.0


def defects(figure):
    """Everything that is wrong with a figure, in words; empty for a good one."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = visible_texts(figure)
    renderer = canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts]
    return [
        *outside_of_the_figure(figure, texts, boxes),
        *overlapping_texts(texts, boxes),
        *texts_over_other_axes(figure, texts, boxes),
        *struck_through(figure, texts, boxes),
        *weak_contrast(figure, texts),
        *missing_color_bars(figure),
        *missing_labels(figure),
    ]


def visible_texts(figure):
    """Texts that are drawn; tick labels beyond the ends of an axis are not."""
    hidden = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            shown = set(axis._update_ticks()) if ax.axison and axis.get_visible() else set()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if tick not in shown:
                    hidden |= {tick.label1, tick.label2}
            if not ax.axison:
                hidden |= {axis.label, axis.offsetText}
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def outside_of_the_figure(figure, texts, boxes):
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in zip(texts, boxes):
        if min(box.x0, box.y0) < -0.5 or box.x1 > width + 0.5 or box.y1 > height + 0.5:
            yield f"{text.get_text()!r} is outside of the figure"


def overlapping_texts(texts, boxes):
    for index, (text, box) in enumerate(zip(texts, boxes)):
        for other, other_box in zip(texts[:index], boxes[:index]):
            across = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            down = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            if across > TOLERANCE and down > 2 * TOLERANCE:
                yield f"{text.get_text()!r} overlaps {other.get_text()!r}"


def texts_over_other_axes(figure, texts, boxes):
    """Text of one axes in the data of another."""
    for text, box in zip(texts, boxes):
        for ax in figure.axes:
            if text.axes is ax:
                continue
            data = ax.get_window_extent()
            across = min(box.x1, data.x1) - max(box.x0, data.x0)
            down = min(box.y1, data.y1) - max(box.y0, data.y0)
            if across > TOLERANCE and down > 2 * TOLERANCE and (ax.axison or ax.images):
                yield f"{text.get_text()!r} is over the data of another axes"


def struck_through(figure, texts, boxes):
    """Lines of data through a text."""
    for ax in figure.axes:
        lines = [line for line in ax.lines if line.get_visible() and len(line.get_xdata())]
        for line in lines:
            if line.get_linestyle() == "None":
                continue
            path = line.get_path().transformed(line.get_transform())
            for text, box in zip(texts, boxes):
                inside = ax.get_window_extent().overlaps(box)
                if inside and path.intersects_bbox(box.padded(-TOLERANCE), filled=False):
                    yield f"{text.get_text()!r} is struck through by the line {line.get_gid() or line.get_label()!r}"


def weak_contrast(figure, texts):
    for page, color in PAGES.items():
        background = over(figure.get_facecolor(), color)
        for text in texts:
            is_mark = len(text.get_text()) == 1 and not text.get_text().isalnum()
            needed = LINE_CONTRAST if is_mark else TEXT_CONTRAST
            if contrast(over(text.get_color(), background), background) < needed:
                yield f"{text.get_text()!r} has little contrast on a {page} page"
            if text.get_fontsize() < SMALLEST_TYPE:
                yield f"{text.get_text()!r} is small: {text.get_fontsize()} points"
        for ax in figure.axes:
            for line in ax.lines:
                is_present = line.get_gid() and line.get_alpha() is None
                if is_present and contrast(to_rgb(line.get_color()), background) < LINE_CONTRAST:
                    yield f"the line {line.get_gid()} has little contrast on a {page} page"


def over(color, background):
    """A colour of some opacity on a background."""
    *rgb, opacity = to_rgba(color)
    return tuple(opacity * c + (1 - opacity) * b for c, b in zip(rgb, background))


def contrast(first, second):
    """Contrast ratio of WCAG 2.1."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def is_color_bar(ax):
    return ax.get_label() == "<colorbar>"


def missing_color_bars(figure):
    """Images of values, not of colours, without a scale."""
    values = [i for i in figure.findobj(AxesImage) if i.get_array() is not None and np.ndim(i.get_array()) == 2]
    bars = [ax for ax in figure.axes if is_color_bar(ax)]
    if values and not bars:
        yield "there is no colour bar"
    for bar in bars:
        if not any(text.get_text() for text in bar.texts):
            yield "a colour bar has no label"


def missing_labels(figure):
    """Axes without a label; names of layers, which are in letters, need none."""
    for ax in figure.axes:
        if not ax.axison or is_color_bar(ax):
            continue
        if not ax.get_xlabel() and not figure.get_supxlabel():
            yield "an x axis has no label"
        names = [tick.get_text() for tick in ax.get_yticklabels()]
        is_named = any(name.strip("−-.0123456789") for name in names)
        if not ax.get_ylabel() and not figure.get_supylabel() and not is_named:
            yield "a y axis has no label"
