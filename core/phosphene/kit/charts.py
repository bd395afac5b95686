"""Small charts as inline SVG in the colours of the page, and compressed images with transparency."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.html import Html, element

__all__ = ["embedded", "histogram"]

WIDTH, HEIGHT, LEFT, FOOT, TOP = 520, 190, 10, 26, 26
"""Size of a chart, and its margins beside, below and above the bars."""


def histogram(
    values: NDArray[np.floating],
    *,
    span: tuple[float, float],
    description: str,
    bins: int = 40,
    ticks: Sequence[float] = (),
    tell: Callable[[float], str] = "{:g}".format,
    marks: Sequence[tuple[float, str]] = (),
) -> Html:
    """Draw a histogram.

    Parameters
    ----------
    values : array
        Values outside the span are counted in the outermost bars.
    span : (float, float)
        Range of the axis.
    description : str
        Text alternative.
    bins : int, default 40
    ticks : sequence of float, optional
        Positions of the tick labels.
    tell : callable, optional
        Formats a tick label.
    marks : sequence of (float, str), optional
        Values marked by a vertical line, with their labels.

    Returns
    -------
    Html
    """
    low, high = span
    counts, _ = np.histogram(np.clip(values, low, high), bins=bins, range=span)
    top = TOP + 15 * max(0, len(marks) - 1)
    room = HEIGHT - FOOT - top
    tall = max(1, int(counts.max(initial=0)))
    step = (WIDTH - 2 * LEFT) / bins

    def across(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - 2 * LEFT)

    parts = [
        element(
            "rect",
            x=f"{LEFT + number * step + 0.5:.1f}",
            y=f"{top + room * (1 - count / tall):.1f}",
            width=f"{step - 1:.1f}",
            height=f"{max(room * count / tall, 0.8):.1f}",
            class_="bar",
        )
        for number, count in enumerate(counts.tolist())
        if count
    ]
    ground = HEIGHT - FOOT
    parts.append(element("line", x1=LEFT, x2=WIDTH - LEFT, y1=ground, y2=ground, class_="axis"))
    for tick in ticks:
        where = "start" if tick == low else "end" if tick == high else "middle"
        parts.append(element("text", tell(tick), x=f"{across(tick):.1f}", y=HEIGHT - 8, text_anchor=where))
    # Labels of marks far to the right are set left of all such marks, so that no line crosses them.
    first = min((across(value) for value, _ in marks if across(value) > WIDTH * 0.55), default=0.0)
    for line, (value, words) in enumerate(marks):
        x, y = across(value), 12 + 15 * line
        late = x > WIDTH * 0.55
        parts.append(element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=y - 9, y2=ground, class_=f"mark m{line}"))
        left, side = (first - 6, "end") if late else (x + 6, "start")
        parts.append(element("text", words, x=f"{left:.1f}", y=y, text_anchor=side, class_="told"))
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=description, class_="chart")


def embedded(image: NDArray[np.uint8], description: str, **attributes: object) -> Html:
    """Embed an image ``(H, W, 1)``, ``(H, W, 3)`` or with alpha ``(H, W, 4)``, uint8, as lossy WebP."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "WEBP", quality=86, method=4)
    source = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
    height, width = image.shape[:2]
    return element("img", src=source, alt=description, width=width, height=height, **attributes)
