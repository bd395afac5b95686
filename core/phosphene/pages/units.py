"""The page of a unit report: every channel with its figures and what it is strongest for."""

from __future__ import annotations

import numpy as np

from phosphene.pages.html import Html, element, page, picture
from phosphene.results import Units, as_picture

__all__ = ["units_page"]


def units_page(found: Units) -> str:
    """The whole document; it loads nothing from anywhere."""
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
        element("h1", f"What the channels of {found.layer} answer to"),
        element(
            "p",
            f"Each channel over {found.images:,} images: at which share of positions it is above zero, and the parts of images "
            "for which it is strongest, cut to what one position sees. A channel that was never above zero fires in fewer than "
            f"{found.dead_bound:.2%} of such images, at 95% confidence; that it never fires cannot be known from so many.",
        ),
        element("div", *boxes, class_="facts"),
        *_twins(found),
        element("h2", "All channels, by their largest activation"),
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
