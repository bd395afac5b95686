"""The page of the contact sheet: the picture of every unit, to be searched, sorted and filtered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.pictures import as_picture
from phosphene.rendering.result import Renders
from phosphene.rendering.serialization import recipe_text
from phosphene.trust.page import word_chip
from phosphene.trust.result import WORDS, TrustCard
from phosphene.unit_statistics.result import NO_FLOOR, Units

__all__ = ["sheet_page"]

PATCHES = 4
SORTS = {
    "channel": "channel",
    "value": "activation by its picture",
    "ratio": "ratio to the mean over images",
    "density": "share of active positions",
    "score": "how well the picture predicts",
}


def sheet_page(
    found: Renders,
    channels: Sequence[int],
    reasons: Mapping[int, str],
    report: Units | None,
    trust: Sequence[TrustCard] | None = None,
) -> str:
    """The whole document, which loads nothing from elsewhere.

    Parameters
    ----------
    found : Renders
        One picture for each of `channels`.
    channels : sequence of int
    reasons : mapping of int to str
        Reason for every channel without a picture.
    report : Units, optional
        Statistics of the channels over images.
    trust : sequence of TrustCard, optional
        One per picture.

    Returns
    -------
    str
    """
    layer, settings = str(found.settings["layer"]), found.settings
    facts = {"pictures": str(len(channels)), "without a picture": str(len(reasons))}
    if report is not None:
        facts["images"] = f"{report.images:,}"
        if report.floor:
            facts["dead on these images"] = str(len(report.dead))
    if trust is not None:
        words = [card.word for card in trust]
        facts |= {word: str(words.count(word)) for word in WORDS if word in words}
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    cards = [
        _card(found, row, channel, report, None if trust is None else trust[row])
        for row, channel in enumerate(channels)
    ]
    return page(
        f"{layer} of {settings['network']}",
        element("h1", f"What the units of {layer} look for"),
        element(
            "p",
            f"One picture per channel of {settings['network']}, optimized by gradient ascent from noise"
            + (", with the patches of real images that activate the channel most." if report else ".")
            + (f" Dead, density, ratio to the mean: {NO_FLOOR}." if report and not report.floor else ""),
        ),
        *(() if trust is None else (_how_far(),)),
        element("div", *boxes, class_="facts"),
        _controls(report, () if trust is None else words),
        element("p", f"{len(cards)} of {len(cards)} shown", id="shown", role="status", class_="muted"),
        element("div", *cards, class_="grid", id="units"),
        *_unpictured(reasons, report),
        _closing(found),
        script=Path(__file__).parent / "sheet.js",
    )


def _how_far() -> Html:
    return element(
        "p",
        "Each picture was compared with these images, shifted and rotated, and optimized again from another start, and a judge had "
        "to predict from it which of two images activates the channel more (50% by chance). The verdict says how far the picture "
        "can be trusted; the percentage is the share of correct predictions.",
    )


def _controls(report: Units | None, words: Sequence[str]) -> Html:
    natural, floor = report is not None, report is not None and report.floor
    left_out = {name for name, there in {"ratio": floor, "density": floor, "score": words}.items() if not there}
    sorts = [element("option", text, value=name) for name, text in SORTS.items() if name not in left_out]
    states = [
        element("option", text, value=value)
        for value, text in {
            "": "all",
            "converged": "converged",
            "rising": "still rising at the end",
            **({"below": "below the mean over images"} if natural else {}),
            **{word: word for word in WORDS if word in words},
        }.items()
    ]
    return element(
        "div",
        element(
            "label", "find ", element("input", type="search", id="find", placeholder="12, 40-48", autocomplete="off")
        ),
        element("label", "sort by ", element("select", *sorts, id="sort")),
        element("label", "show ", element("select", *states, id="state")),
        element("label", "size ", element("input", type="range", id="width", min="120", max="420", value="230")),
        class_="controls",
    )


def _card(found: Renders, row: int, channel: int, report: Units | None, trust: TrustCard | None) -> Html:
    value = float(found.values[row])
    best = float(report.top_values[channel, 0]) if report is not None else float("nan")
    figures, patches = f"activation {value:.3g}", []
    if report is not None:
        mean = float(report.mean[channel])
        figures += f" on average; mean over images {mean:.2g}, maximum {best:.3g}"
        if report.floor:
            figures += f"; active at {report.density[channel]:.0%} of positions"
        patches = [
            picture(
                as_picture(report.patches[channel, place]), f"image {report.top[channel, place]} for channel {channel}"
            )
            for place in range(min(PATCHES, report.top.shape[1]))
            if report.top[channel, place] >= 0
        ]
    floor = report is not None and report.floor
    ratio = value / max(float(report.mean[channel]), 1e-9) if report is not None and floor else 0.0
    below = report is not None and value < float(report.mean[channel])
    title = str(channel) + (f" {report.names[channel]}" if report is not None and report.names else "")
    state = "converged" if found.converged[row] else "rising"
    chip: tuple[Html, ...] = ()
    why: tuple[Html, ...] = ()
    judged: dict[str, str] = {}
    if trust is not None:
        known = not math.isnan(trust.score)
        chip = (Html(" "), word_chip(trust), *((element("small", f" {trust.score:.0%}"),) if known else ()))
        why = (element("details", element("summary", "why"), element("p", trust.reason)),)
        judged = {"data_word": trust.word, "data_score": f"{trust.score:.6g}" if known else "-1"}
    return element(
        "article",
        picture(as_picture(found.images[row]), f"the picture that activates channel {channel} most"),
        *([element("div", *patches, class_="strip")] if patches else []),
        element("div", element("h3", title, *chip), element("p", figures), *why, class_="words"),
        class_="card",
        data_channel=channel,
        data_value=f"{value:.6g}",
        data_ratio=f"{ratio:.6g}",
        data_density=f"{report.density[channel]:.6g}" if report is not None and floor else "0",
        data_state=state,
        data_below="1" if below else "0",
        **judged,
    )


def _unpictured(reasons: Mapping[int, str], report: Units | None) -> list[Html]:
    if not reasons:
        return []
    rows = [
        element("li", f"{report.name(channel) if report is not None else f'channel {channel}'}: {reason}")
        for channel, reason in sorted(reasons.items())
    ]
    return [element("h2", "Without a picture"), element("ul", *rows, class_="muted")]


def _closing(found: Renders) -> Html:
    settings = found.settings
    flat = float(np.mean([image.std() for image in found.images])) if len(found) else 0.0
    return element(
        "footer",
        element("p", "A picture shows what activates a unit most, not everything that the unit responds to."),
        element(
            "p",
            f"{settings['backend']}, seed {settings['seed']}, {recipe_text(settings)}. Mean contrast of the pictures {flat:.2f}.",
        ),
    )
