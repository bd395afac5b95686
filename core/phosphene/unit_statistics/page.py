"""The page of unit statistics: every channel with its figures and the patches that activate it most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.pictures import as_picture
from phosphene.unit_statistics.result import NO_FLOOR, Units

__all__ = ["units_page"]

STRIP = 12
"""Height in pixels at which a patch of a signal is shown."""


def units_page(found: Units) -> str:
    """Make the page as one self-contained HTML document."""
    facts = {"channels": str(len(found.density)), "images": f"{found.images:,}"}
    if found.floor:
        facts |= {"dead": str(len(found.dead)), "always on": str(len(found.always_on))}
    if len(found.unknown):
        facts["not finite"] = str(len(found.unknown))
    facts["near-duplicate pairs"] = str(len(found.twins))
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    order = np.argsort(-found.largest, kind="stable")
    return page(
        f"Units of {found.layer}",
        element("h1", f"What the channels of {found.layer} respond to"),
        element("p", _measured(found)),
        element("div", *boxes, class_="facts"),
        *_twins(found),
        element("h2", "All channels, sorted by their largest activation"),
        element("div", *(_card(found, int(channel)) for channel in order), class_="grid"),
    )


def _measured(found: Units) -> str:
    share = "the share of positions at which it is above zero, and " if found.floor else ""
    text = (
        f"Statistics of each channel over {found.images:,} images: {share}the image patches that activate it most, cut to the "
        "receptive field of one position"
    )
    if found.settings.get("border") == "left out":
        text += ", without the border of the map, which depends on padding"
    field = found.settings.get("receptive field")
    if field and max(found.patches.shape[2:4]) < max(field):
        text += f"; {field[0]} x {field[1]} pixels are shown as {found.patches.shape[2]} x {found.patches.shape[3]}"
    if not found.floor:
        return f"{text}. Dead, always on, density: {NO_FLOOR}."
    return (
        f"{text}. A channel that was never above zero fires in fewer than {found.dead_bound:.2%} of such images, at 95% "
        "confidence; a finite sample cannot show that it never fires."
    )


def _twins(found: Units) -> list[Html]:
    if not found.twins:
        return []
    pairs = "; ".join(f"{one} and {other} ({r:.3f})" for one, other, r in found.twins[:24])
    more = f"; and {len(found.twins) - 24} more" if len(found.twins) > 24 else ""
    return [element("h2", "Near-duplicates"), element("p", f"Pairs of channels and their correlation: {pairs}{more}.")]


def _card(found: Units, channel: int) -> Html:
    state = found.state(channel)
    figures = f"mean {found.mean[channel]:.3g}, largest {found.largest[channel]:.3g}"
    if state == "not finite":
        figures = "every value is NaN or infinite"
    elif found.floor:
        figures = f"on at {found.density[channel]:.1%} of positions, in {found.on[channel]:.1%} of images; {figures}"
    patches = [
        picture(as_picture(patch), f"channel {channel}, image {image}")
        for patch, image in zip(_visible(found.patches[channel]), found.top[channel], strict=True)
        if image >= 0 and state != "dead"
    ]
    title = found.name(channel) + (f" ({state})" if state in ("dead", "always on", "not finite") else "")
    return element(
        "div", element("h3", title), element("div", *patches, class_="patches"), element("p", figures), class_="card"
    )


def _visible(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Patches ``(K, h, w, C)``; those of a signal, one pixel high, as strips."""
    return np.repeat(patches, STRIP, axis=1) if patches.shape[1] == 1 else patches
