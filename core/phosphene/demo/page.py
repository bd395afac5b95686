"""The demo page, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import phosphene
from phosphene.kit.charts import embedded
from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.overlays import LEGEND, coloured, overlay
from phosphene.kit.pictures import as_picture
from phosphene.rendering.result import Renders
from phosphene.rendering.serialization import recipe_text
from phosphene.trust.page import card_of
from phosphene.trust.result import TrustCard
from phosphene.unit_statistics.result import Units

if TYPE_CHECKING:
    from phosphene.demo import (
        AtlasReport,
        ChannelRow,
        ClassPictures,
        Demo,
        Explanations,
        Inversions,
        TrustReport,
        UnitReport,
    )

__all__ = ["demo_page"]

FLAT = 0.02
"""Standard deviation below which a picture is considered flat and is not shown."""

_DEPTH = {
    "stage1": "Near the input: edges, dots and colour contrasts.",
    "stage2": "Halfway: textures and simple motifs, composed of the features of stage 1.",
    "stage3": "The last stage before the output: patterns that are specific to one or a few photographs.",
}


def demo_page(demo: Demo) -> str:
    """The whole document.

    Parameters
    ----------
    demo : Demo

    Returns
    -------
    str
        HTML that loads nothing from elsewhere.
    """
    return page(
        "What a network sees",
        *_opening(demo),
        *_classes(demo.classes),
        *_explanations(demo.explanations),
        *_channels(demo.rows),
        *(_units(demo.units) if demo.units else ()),
        *(_trust(demo.trust) if demo.trust else ()),
        *_inversions(demo.inversions),
        *(_atlas(demo.atlas) if demo.atlas else ()),
        _closing(demo),
    )


def _opening(demo: Demo) -> list[Html]:
    facts = [element("div", element("b", value), element("span", name)) for name, value in demo.facts.items()]
    return [
        element("h1", "What a small network learnt from eighteen photographs"),
        element(
            "p",
            "The patterns below are not photographs. Each began as faint noise and was changed step by step, by gradient ascent, "
            "to increase the activation of one unit of a trained network. The result shows what that unit responds to most.",
        ),
        element("div", *facts, class_="facts"),
    ]


def _classes(classes: ClassPictures) -> list[Html]:
    recognised, count = sum(classes.recognised), len(classes.recognised)
    cards = [_class_card(classes, index) for index in range(count)]
    return [
        element("h2", "One picture per class"),
        element(
            "p",
            "The large picture was optimized to activate the class; the three small ones are the crops of the real photograph that "
            "activate it most. The bar shows the activation by the picture, the tick on it the maximum over 2,000 crops. "
            "“Transformed” is the mean over sixteen shifts, rotations, scalings and noises that the optimization did not use: an "
            "adversarial picture would lose its effect.",
        ),
        element(
            "p",
            f"A second network, the witness, has another size and another initialization, and was not used in the optimization. It "
            f"recognises {recognised} of the {count} pictures.",
        ),
        element("div", *cards, class_="grid"),
    ]


def _class_card(classes: ClassPictures, index: int) -> Html:
    renders, name = classes.renders, classes.renders.labels[index]
    value, best, robust = float(renders.values[index]), float(classes.natural_best[index]), float(classes.robust[index])
    verdict, chance = classes.witness[index]
    right = classes.recognised[index]
    mark = "✓" if right else "?"
    width = max(0.0, min(1.0, value / max(value, best, 1e-9)))
    tick = max(0.0, min(1.0, best / max(value, best, 1e-9)))
    examples = [picture(image, f"a crop of the photograph “{name}”") for image in classes.examples[index]]
    return element(
        "article",
        element(
            "div",
            picture(renders.images[index], f"the picture that activates the class “{name}” most"),
            element("div", *examples, class_="examples"),
            class_="pair",
        ),
        element(
            "div",
            element("h3", name),
            element(
                "div",
                element("i", style=f"width:{100 * width:.1f}%"),
                element("b", style=f"left:{100 * tick:.1f}%"),
                class_="meter",
            ),
            element("p", f"activation {value:.1f}, transformed {robust:.1f}; best crop {best:.1f}"),
            element("span", f"{mark} witness: {verdict}, {chance:.0%}", class_="chip" if right else "chip no"),
            class_="words",
        ),
        class_="card",
    )


def _explanations(explanations: Explanations) -> list[Html]:
    """Photographs beside two attribution maps of their predicted class, and the sanity check of both methods."""
    cards = [_explained(explanations, index) for index in range(len(explanations.names))]
    scale = (element("span", "least"), element("i", style=f"background:{LEGEND}"), element("span", "most, per map"))
    return [
        element("h2", "Which pixels matter"),
        element(
            "p",
            "Crops of photographs, with two attribution maps of the network’s prediction. Grad-CAM weights the channels of the "
            "last stage by the gradient of the class: coarse, but specific to the class. Guided backpropagation follows the "
            "gradient back to the pixels and drops negative contributions on the way: fine, but mostly edges. The lattice of "
            "dots in smooth areas is an artefact of the network’s strided convolutions.",
        ),
        element("div", *scale, class_="legend"),
        element("div", *cards, class_="grid wide"),
        *_control(explanations),
    ]


def _explained(explanations: Explanations, index: int) -> Html:
    name, cam, guided = explanations.names[index], explanations.gradcam, explanations.guided
    said = cam.labels[index]
    answer = f"Prediction: {said}" if said == name else f"Wrong prediction: {said}"
    return element(
        "article",
        element(
            "div",
            picture(cam.images[index], f"a crop of the photograph “{name}”"),
            picture(overlay(cam.images[index], cam.maps[index]), f"Grad-CAM of “{said}” over that crop"),
            picture(coloured(guided.maps[index]), f"guided backpropagation of “{said}” for that crop"),
            class_="trio",
        ),
        element(
            "div",
            element("span", "the crop"),
            element("span", "Grad-CAM"),
            element("span", "guided backpropagation"),
            class_="under",
        ),
        element("div", element("h3", name), element("p", f"{answer}, logit {cam.values[index]:.1f}."), class_="words"),
        class_="card",
    )


def _control(explanations: Explanations) -> list[Html]:
    cam, guided = explanations.gradcam.sanity, explanations.guided.sanity
    head = element(
        "tr",
        *(element("th", text, scope="col") for text in ("randomized down to", "Grad-CAM", "guided backpropagation")),
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
        element("h3", "Do the maps depend on the network?"),
        element(
            "p",
            "A map that explains a network must change with its weights. Here the weights are randomized from the top down, and "
            "the table shows the similarity to the original maps (rank correlation, mean of the six photographs): 1 is "
            "unchanged, 0 is unrelated. A method whose values stay high shows the image, not the network’s reasons.",
        ),
        element("table", element("thead", head), element("tbody", *rows)),
    ]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _channels(rows: list[ChannelRow]) -> list[Html]:
    parts = [
        element("h2", "Sixteen channels of each of three layers"),
        element(
            "p",
            "A channel is one feature detector, applied everywhere in the image. The factor is its activation by the picture "
            "relative to the maximum over 2,000 crops.",
        ),
    ]
    for row in rows:
        parts.append(element("h3", f"{row.layer}. {_DEPTH.get(row.layer, '')}"))
        tiles = []
        for place, number in enumerate(row.channels):
            if row.renders is None:
                continue
            image, status = row.renders.images[place], row.renders.status[place]
            if status == "dead" or float(image.std()) < FLAT:
                tiles.append(_dead(number, "could not be activated"))
                continue
            ratio = float(row.renders.values[place]) / max(float(row.natural_best[place]), 1e-9)
            caption = element("figcaption", element("span", f"{number}"), element("span", f"{ratio:.1f} ×"))
            tiles.append(
                element(
                    "figure",
                    picture(image, f"the picture that activates channel {number} of {row.layer} most"),
                    caption,
                    class_="tile",
                )
            )
        tiles += [_dead(number, "dead on all 2,000 crops") for number in row.dead]
        parts.append(element("div", *tiles, class_="tiles"))
    return parts


def _dead(number: int, reason: str) -> Html:
    return element("figure", element("span", f"channel {number}: {reason}"), class_="tile dead")


def _units(report: UnitReport) -> list[Html]:
    """A table with one row per layer, and channels of the last layer with their picture beside real images."""
    columns = ("layer", "channels", "dead", "always active", "above zero", "near-duplicates")
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
        element("h2", "What channels respond to in real images"),
        element(
            "p",
            f"The same channels over {shown.images:,} crops of the photographs. A dead channel is never active, near-duplicates "
            "are pairs with a correlation of at least 0.95, and “above zero” is the share of positions at which the median "
            "channel is active.",
        ),
        element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll"),
        element(
            "p",
            f"Channels of {report.layer}: on the left the optimized picture, on the right the nine crops that activate the channel "
            "most, cut to the receptive field of one position (grey is outside the crop). If they agree, the picture is "
            "plausible; if not, the channel responds to more than the picture shows. The bar is the share of positions at which "
            "the channel is active.",
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
            as_picture(found.patches[channel, rank]),
            f"crop {number}, which activates channel {channel} with {value:.1f}",
        )
        for rank, (number, value) in enumerate(zip(found.top[channel], found.top_values[channel], strict=True))
        if number >= 0
    ]
    density = float(found.density[channel])
    return element(
        "article",
        element(
            "div",
            picture(renders.images[place], f"the picture that activates channel {channel} of {found.layer} most"),
            element("div", *patches, class_="patches"),
            class_="both",
        ),
        element(
            "div",
            element("h3", f"channel {channel}"),
            element("div", element("i", style=f"width:{100 * density:.1f}%"), class_="meter"),
            element(
                "p",
                f"active at {density:.0%} of positions, in {found.on[channel]:.0%} of crops; maximum {found.largest[channel]:.1f}",
            ),
            class_="words",
        ),
        class_="card",
    )


def _trust(report: TrustReport) -> list[Html]:
    """One channel with a helpful picture and an unhelpful one, and the trust cards of some more channels."""
    good, bare = report.cards[report.place], report.bare
    others = [card for place, card in enumerate(report.cards) if place != report.place]
    return [
        element("h2", "Which of these pictures can be trusted?"),
        element(
            "p",
            "A picture can be striking and yet say nothing about its channel. Each picture is therefore compared with "
            f"{report.cards.images:,} real crops, shifted and rotated, and optimized again from another start. In addition, a "
            "judge, the witness, has to predict from the picture alone which of two crops activates the channel more; half of its "
            "predictions would be correct by chance. ",
            element("b", "Reliable"),
            " means that the picture passed all tests, ",
            element("b", "doubtful"),
            " that it did not pass some, ",
            element("b", "failed"),
            " that it should not be interpreted. The card gives the reason.",
        ),
        element(
            "div",
            element(
                "div",
                element("h3", "One channel, two pictures"),
                element("p", *_contrast(good, bare, len(report.cards))),
                element(
                    "p",
                    "On each card the bar is the share of correct predictions with the picture, and the tick is the same with the "
                    "most activating crop in its place.",
                    class_="muted",
                ),
                class_="aside",
            ),
            _headed("with the recipe of this page", good),
            _headed("with plain gradient ascent", bare),
            class_="grid wide contrast",
        ),
        element("h3", f"{len(others)} more channels of {report.layer}"),
        element("div", *(card_of(card) for card in others), class_="grid wide"),
    ]


def _contrast(good: TrustCard, bare: TrustCard, count: int) -> list[str]:
    """Compare the two pictures of a channel by their figures."""
    more = "more" if bare.clean > good.clean else "less"
    return [
        f"Both were optimized for {good.label.replace(' : ', ', channel ')}: the first with the recipe of this page, the second by "
        f"plain gradient ascent on the pixels. The second activates the channel {more}, {bare.clean:.1f} compared with "
        f"{good.clean:.1f}. After small shifts and rotations, however, it keeps {max(0.0, bare.kept):.0%} of its lead over real "
        f"crops, and the first {max(0.0, good.kept):.0%}; and with the second the judge predicts ",
        element("b", f"{bare.score:.0%}"),
        " of pairs correctly, with the first ",
        element("b", f"{good.score:.0%}"),
        f". Of the {count} channels assessed here, its two pictures differ most.",
    ]


def _headed(text: str, card: TrustCard) -> Html:
    return element("div", element("p", text, class_="muted over"), card_of(card))


def _inversions(inversions: Inversions) -> list[Html]:
    parts = [
        element("h2", "What each layer preserves of a photograph"),
        element(
            "p",
            "Each picture was optimized to give the same activations in one layer as the photograph. What differs from the "
            "photograph is what the layer does not preserve. The cosine is between the activations of the photograph and those of "
            "the picture.",
        ),
    ]
    for index, name in enumerate(inversions.names):
        tiles = [
            element(
                "figure",
                picture(inversions.photographs[index], f"a crop of the photograph “{name}”"),
                element("figcaption", "the photograph"),
                class_="tile",
            )
        ]
        for path, renders in inversions.renders.items():
            cosine = float(renders.scores["cosine"][index])
            tiles.append(
                element(
                    "figure",
                    picture(renders.images[index], f"the photograph “{name}”, inverted at {path}"),
                    element("figcaption", element("span", path), element("span", f"cosine {cosine:.3f}")),
                    class_="tile",
                )
            )
        parts.append(element("div", *tiles, class_="inversion"))
    return parts


def _atlas(report: AtlasReport) -> list[Html]:
    """The map, how it was made, and how far it can be trusted."""
    names = ", ".join(dict.fromkeys(name for name, _, _ in report.regions))
    described = f"map of {report.layer}: {report.cells} icons on the cells of a {report.size} by {report.size} grid"
    return [
        element("h2", "An atlas of one layer"),
        element(
            "p",
            f"A channel is one direction in the activations of {report.layer}, and photographs activate many at once. The "
            f"activations of {report.points:,} crops, at one position each, were laid out on a plane, with similar activations "
            f"close to each other. Each of the {report.cells} small pictures was optimized from noise to give the mean "
            "activation of its cell (Carter et al. 2019).",
        ),
        element("div", embedded(report.picture, described), class_="atlas"),
        element(
            "p",
            f"Its regions: {names}. " if names else "",
            element("a", "Open the interactive map", href=report.page),
            " to zoom, search, and see the real crops behind each cell. Open the atlas in Python by ",
            element("code", f'ph.Atlas.open("{report.folder}")'),
            ".",
        ),
        element(
            "p",
            f"How far to trust it: the trustworthiness of the map is {report.trustworthiness:.1%} (100% if all neighbours on the "
            "map are true neighbours, 50% by chance). The median cosine between the activation of an icon and the mean of its "
            f"cell is {report.fidelity:.3f}, after {report.evaluations:g} gradient evaluations. {report.labelled:.0%} of the "
            "cells have a reliable label.",
            class_="muted",
        ),
    ]


def _closing(demo: Demo) -> Html:
    settings = demo.classes.renders.settings
    return element(
        "footer",
        element(
            "p",
            "A picture shows what activates a unit most, not everything that the unit responds to, and it describes this "
            "network, not the objects themselves. "
            "The photographs come with scikit-image and scikit-learn; the model card names their sources.",
        ),
        element(
            "p",
            f"phosphene {phosphene.__version__}, {settings['backend']}, {demo.seconds:.0f} s in all. Recipe: "
            f"{recipe_text(settings)}. Seed {settings['seed']}.",
        ),
        element(
            "p",
            "For your own model: ",
            element("code", "net = phosphene.wrap(model, size=(224, 224)); phosphene.render(net, phosphene.logit(0))"),
        ),
    )
