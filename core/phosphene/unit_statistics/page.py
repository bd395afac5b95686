"""The page of unit statistics: every channel with its figures and the patches that activate it most."""

from __future__ import annotations

import numpy as np

from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.pictures import as_picture
from phosphene.unit_statistics.result import Units

__all__ = ["units_page"]


def units_page(found: Units) -> str:
    """Make the page as one self-contained HTML document."""
    dead, always = len(found.dead), len(found.always_on)
    facts = {
        "channels": str(len(found.density)),
        "images": f"{found.images:,}",
        "dead": str(dead),
        "always on": str(always),
        "near-duplicate pairs": str(len(found.twins)),
    }
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    order = np.argsort(-found.largest, kind="stable")
    return page(
        f"Units of {found.layer}",
        element("h1", f"What the channels of {found.layer} respond to"),
        element(
            "p",
            f"Statistics of each channel over {found.images:,} images: the share of positions at which it is above zero, and the "
            "image patches that activate it most, cut to the receptive field of one position. A channel that was never above "
            f"zero fires in fewer than {found.dead_bound:.2%} of such images, at 95% confidence; a finite sample cannot show "
            "that it never fires.",
        ),
        element("div", *boxes, class_="facts"),
        *_twins(found),
        element("h2", "All channels, sorted by their largest activation"),
        element("div", *(_card(found, int(channel)) for channel in order), class_="grid"),
    )


def _twins(found: Units) -> list[Html]:
    if not found.twins:
        return []
    pairs = "; ".join(f"{one} and {other} ({r:.3f})" for one, other, r in found.twins[:24])
    more = f"; and {len(found.twins) - 24} more" if len(found.twins) > 24 else ""
    return [element("h2", "Near-duplicates"), element("p", f"Pairs of channels and their correlation: {pairs}{more}.")]


def _card(found: Units, channel: int) -> Html:
    state = "dead" if found.on[channel] == 0 else "always on" if found.density[channel] == 1 else ""
    figures = (
        f"on at {found.density[channel]:.1%} of positions, in {found.on[channel]:.1%} of images; "
        f"mean {found.mean[channel]:.3g}, largest {found.largest[channel]:.3g}"
    )
    patches = [
        picture(as_picture(found.patches[channel, place]), f"channel {channel}, image {found.top[channel, place]}")
        for place in range(found.top.shape[1])
        if found.top[channel, place] >= 0 and state != "dead"
    ]
    title = f"channel {channel}" + (f" ({state})" if state else "")
    return element(
        "div", element("h3", title), element("div", *patches, class_="patches"), element("p", figures), class_="card"
    )
