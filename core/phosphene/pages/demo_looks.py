"""Two sections of the page of `phosphene demo`: where the network looks, and what real images its channels answer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phosphene.pages.html import Html, element, picture
from phosphene.pages.overlays import LEGEND, coloured, overlay
from phosphene.results import Renders, Units, as_picture

if TYPE_CHECKING:
    from phosphene.demo import Explanations, UnitReport

__all__ = ["explanations_section", "units_section"]


def explanations_section(explanations: Explanations) -> list[Html]:
    """Photographs beside two maps of what their class rests on, and the control of both."""
    cards = [_explained(explanations, index) for index in range(len(explanations.names))]
    scale = (element("span", "least"), element("i", style=f"background:{LEGEND}"), element("span", "most, in each map"))
    return [
        element("h2", "Where it looks"),
        element(
            "p",
            "Each crop of a photograph, and what the network’s answer rests on, seen twice. Grad-CAM weighs the last stage’s "
            "channels by how much the class rises with them: coarse, and particular to the class. Guided gradients follow the "
            "class back to the pixels, and drop on the way whatever would lower it: fine, and mostly edges. The lattice of dots "
            "in smooth places is the network’s own: its strided convolutions do not weigh all pixels alike.",
        ),
        element("div", *scale, class_="legend"),
        element("div", *cards, class_="grid wide"),
        *_control(explanations),
    ]


def _explained(explanations: Explanations, index: int) -> Html:
    name, cam, guided = explanations.names[index], explanations.gradcam, explanations.guided
    said = cam.labels[index]
    answer = f"The network says {said}" if said == name else f"Not so for the network: it says {said}"
    return element(
        "article",
        element(
            "div",
            picture(cam.images[index], f"a crop of the photograph “{name}”"),
            picture(overlay(cam.images[index], cam.maps[index]), f"Grad-CAM of “{said}” over that crop"),
            picture(coloured(guided.maps[index]), f"guided gradients of “{said}” for that crop"),
            class_="trio",
        ),
        element(
            "div",
            element("span", "the crop"),
            element("span", "Grad-CAM"),
            element("span", "guided gradients"),
            class_="under",
        ),
        element(
            "div", element("h3", name), element("p", f"{answer}, firing at {cam.values[index]:.1f}."), class_="words"
        ),
        class_="card",
    )


def _control(explanations: Explanations) -> list[Html]:
    cam, guided = explanations.gradcam.sanity, explanations.guided.sanity
    head = element(
        "tr", *(element("th", text, scope="col") for text in ("random down to", "Grad-CAM", "guided gradients"))
    )
    rows = [
        element(
            "tr",
            element("th", element("code", module), scope="row"),
            *(element("td", _signed(kind[module].mean())) for kind in (cam, guided)),
        )
        for module in cam
    ]
    return [
        element("h3", "Should you believe them?"),
        element(
            "p",
            "A map that explains a network must change with the network. Here its weights are made random from the top down, and "
            "the table tells how much of each map stays: 1 is all of it, 0 is none (rank correlation, mean of the six). What "
            "stays high draws the image, not the reasons.",
        ),
        element("table", element("thead", head), element("tbody", *rows)),
    ]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def units_section(report: UnitReport) -> list[Html]:
    """A line a layer, and some channels of the last one: the picture made for each beside real images."""
    columns = ("layer", "channels", "dead", "always on", "above zero", "near-duplicates")
    head = element("tr", *(element("th", text, scope="col") for text in columns))
    rows = [
        element(
            "tr",
            element("th", element("code", layer), scope="row"),
            *(element("td", text) for text in _counts(found)),
        )
        for layer, found in report.layers.items()
    ]
    shown = report.layers[report.layer]
    cards = [
        _unit(shown, channel, report.pictures, place)
        for place, channel in zip(report.places, report.channels, strict=True)
    ]
    return [
        element("h2", "What its channels answer to in real images"),
        element(
            "p",
            f"The same channels, over {shown.images:,} crops of the photographs. A dead channel never fires, "
            "near-duplicates are pairs that fire together (correlation 0.95 or more), and “above zero” is the share of all "
            "positions at which the median channel fires.",
        ),
        element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll"),
        element(
            "p",
            f"Below are channels of {report.layer}. On the left the picture that was made for one, on the right the nine crops "
            "that excite it most, cut to what one position sees; grey lies outside the crop. Where both agree, the picture can "
            "be believed; where they do not, the channel answers to more than the picture shows. The bar is the share of "
            "positions at which it fires.",
            class_="after",
        ),
        element("div", *cards, class_="grid wide"),
    ]


def _counts(found: Units) -> list[str]:
    return [
        f"{len(found.density)}",
        f"{len(found.dead)}",
        f"{len(found.always_on)}",
        f"{float(np.median(found.density)):.0%}",
        f"{len(found.twins)}",
    ]


def _unit(found: Units, channel: int, renders: Renders, place: int) -> Html:
    patches = [
        picture(
            as_picture(found.patches[channel, rank]), f"crop {number}, where channel {channel} fires at {value:.1f}"
        )
        for rank, (number, value) in enumerate(zip(found.top[channel], found.top_values[channel], strict=True))
        if number >= 0
    ]
    density = float(found.density[channel])
    return element(
        "article",
        element(
            "div",
            picture(renders.images[place], f"the picture that most excites channel {channel} of {found.layer}"),
            element("div", *patches, class_="patches"),
            class_="both",
        ),
        element(
            "div",
            element("h3", f"channel {channel}"),
            element("div", element("i", style=f"width:{100 * density:.1f}%"), class_="meter"),
            element(
                "p",
                f"on at {density:.0%} of positions, {found.on[channel]:.0%} of crops; at most {found.largest[channel]:.1f}",
            ),
            class_="words",
        ),
        class_="card",
    )
