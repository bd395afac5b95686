"""The page of a comparison: pictures of each target side by side, and the similarity of layers as tables."""

from __future__ import annotations

import numpy as np

from phosphene.comparison.result import Comparison
from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.overlays import LEGEND, coloured
from phosphene.kit.pictures import as_picture
from phosphene.rendering.serialization import recipe_text
from phosphene.words import plain_text, shortened

__all__ = ["comparison_page"]

LONGEST = 28
"""Characters of the name of a layer in a table."""

LIGHT = 0.55
"""Value above which a cell is light enough for black text."""

SHOWN = 24
"""Largest number of matched pairs of channels in the table."""


def comparison_page(found: Comparison) -> str:
    """Make the page as one self-contained HTML document."""
    title = f"{', '.join(found.names[:-1])} and {found.names[-1]}, side by side"
    return page(
        title,
        element("h1", title),
        _facts(found),
        *_pictures(found),
        *_alignment(found),
        *_channels(found),
        _closing(found),
    )


def _facts(found: Comparison) -> Html:
    facts = {"networks": str(len(found))}
    if found.renders:
        facts["targets"] = str(len(found.rows))
    if found.similarity:
        facts["images"] = f"{found.images:,}"
    if len(found.matches):
        facts["median correlation of matched channels"] = f"{float(np.median(found.correlations)):.2f}"
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    return element("div", *boxes, class_="facts")


def _pictures(found: Comparison) -> list[Html]:
    if not found.renders:
        return []
    columns = f"grid-template-columns: repeat({len(found)}, 1fr)"
    cards = []
    for row, title in enumerate(found.rows):
        lines = title.replace(" : ", ": ").split("\n")
        pictures = [
            picture(as_picture(renders.images[row]), f"what activates {renders.labels[row]} in {name} most")
            for name, renders in zip(found.names, found.renders, strict=True)
        ]
        values = [
            f"{name}: {renders.values[row]:.3g}" for name, renders in zip(found.names, found.renders, strict=True)
        ]
        cards.append(
            element(
                "article",
                element("div", *pictures, class_="both", style=columns),
                element("div", *(element("span", value) for value in values), class_="under", style=columns),
                element("div", element("h3", ", ".join(lines)), class_="words"),
                class_="card",
            )
        )
    return [
        element("h2", "What activates each network"),
        element(
            "p",
            "One picture per network and target, made by gradient ascent with the same recipe. The number below a picture is "
            "the activation of the target on it; scales differ between networks.",
        ),
        element("div", *cards, class_="grid wide"),
    ]


def _alignment(found: Comparison) -> list[Html]:
    if not found.similarity:
        return []
    parts = [
        element("h2", "Similarity of layers"),
        element(
            "p",
            f"Debiased linear centred kernel alignment (CKA) over {found.images:,} images: 1 for layers that differ only by a "
            "rotation and a scale, about 0 for unrelated ones. It does not depend on the order of the channels.",
        ),
        element("div", "0", element("i", style=f"background: {LEGEND}"), "1", class_="legend"),
    ]
    for (one, other), matrix in found.similarity.items():
        head = element("tr", element("th", ""), *(_head(path, "col") for path in found.layers[other]))
        body = [
            element("tr", _head(path, "row"), *(_cell(float(value)) for value in row))
            for path, row in zip(found.layers[one], matrix, strict=True)
        ]
        caption = f"Rows are layers of {found.names[one]}, columns layers of {found.names[other]}."
        parts += [
            element("h3", f"{found.names[one]} and {found.names[other]}"),
            element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll"),
            element("p", caption, class_="muted"),
        ]
    return parts


def _head(path: str, scope: str) -> Html:
    """The name of a layer beside its values; a long one is whole when it is pointed at."""
    shown = shortened(plain_text(path), LONGEST)
    return element("th", shown, scope=scope, title=None if shown == path else path)


def _cell(value: float) -> Html:
    style = "padding: 6px 10px; text-align: center"
    if np.isnan(value):
        return element("td", "–", style=style)
    red, green, blue = (round(255 * part) for part in coloured(np.clip(np.asarray([[value]]), 0, 1))[0, 0].tolist())
    text = "#000" if value > LIGHT else "#fff"
    return element(
        "td", f"{value:.2f}".replace("-", "−"), style=f"{style}; background: rgb({red}, {green}, {blue}); color: {text}"
    )


def _channels(found: Comparison) -> list[Html]:
    if not len(found.matches):
        return []
    one, other = found.layers[0][-1], found.layers[1][-1]
    rows = [
        element("tr", element("td", str(a)), element("td", str(b)), element("td", f"{value:.3f}"))
        for (a, b), value in zip(found.matches[:SHOWN].tolist(), found.correlations[:SHOWN], strict=True)
    ]
    titles = (f"{one} of {found.names[0]}", f"{other} of {found.names[1]}", "correlation")
    head = element("tr", *(element("th", name, scope="col") for name in titles))
    more = f" The table shows the first {SHOWN} of {len(found.matches)} pairs." if len(found.matches) > SHOWN else ""
    return [
        element("h2", "Matched channels"),
        element(
            "p",
            f"Channels of the two layers, matched one to one by the correlation over {found.images:,} images of their mean "
            f"activations.{more}",
        ),
        element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll"),
    ]


def _closing(found: Comparison) -> Html:
    lines = [
        f"{name}: {about['backend']} on {about['device']}, {about['dtype']}, weights {about['fingerprint'][:12]}"
        for name, about in zip(found.names, found.settings.get("networks", ()), strict=False)
    ]
    if found.settings.get("run") or found.settings.get("recipe"):
        lines.append(f"Recipe: {recipe_text(found.settings)}.")
    if found.settings.get("data"):
        lines.append(f"Images: {found.settings['data']}.")
    return element("footer", *(element("p", line) for line in lines))
