"""The page of `phosphene demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import phosphene
from phosphene.pages.demo_atlas import atlas_section
from phosphene.pages.demo_looks import explanations_section, units_section
from phosphene.pages.demo_trust import trust_section
from phosphene.pages.html import Html, element, page, picture

if TYPE_CHECKING:
    from phosphene.demo import ChannelRow, ClassPictures, Demo, Inversions

__all__ = ["demo_page"]

FLAT = 0.02
"""A picture whose standard deviation is below this shows nothing, and is said rather than drawn."""

_DEPTH = {
    "stage1": "Near the input: edges, dots, and one colour against another.",
    "stage2": "Half way: textures and simple motifs, put together from what stage 1 found.",
    "stage3": "The last stage before the answer: patterns that belong to one photograph or a few.",
}


def demo_page(demo: Demo) -> str:
    """The whole document.

    Parameters
    ----------
    demo : Demo

    Returns
    -------
    str
        HTML that loads nothing from anywhere.
    """
    return page(
        "What a network sees",
        *_opening(demo),
        *_classes(demo.classes),
        *explanations_section(demo.explanations),
        *_channels(demo.rows),
        *(units_section(demo.units) if demo.units else ()),
        *(trust_section(demo.trust) if demo.trust else ()),
        *_inversions(demo.inversions),
        *(atlas_section(demo.atlas) if demo.atlas else ()),
        _closing(demo),
    )


def _opening(demo: Demo) -> list[Html]:
    facts = [element("div", element("b", value), element("span", name)) for name, value in demo.facts.items()]
    return [
        element("h1", "What a small network learnt from eighteen photographs"),
        element(
            "p",
            "None of the patterns below was ever photographed. Each began as faint noise and was changed, step by step, in the "
            "direction that excites one part of a trained network most. What emerges is that part's own answer to the question: "
            "what are you looking for?",
        ),
        element("div", *facts, class_="facts"),
    ]


def _classes(classes: ClassPictures) -> list[Html]:
    recognised, count = sum(classes.recognised), len(classes.recognised)
    cards = [_class_card(classes, index) for index in range(count)]
    return [
        element("h2", "One picture for each class"),
        element(
            "p",
            "The large picture excites the class most; the three small ones are the crops of the real photograph that do. The bar "
            "is how strongly the network fires for the picture, the tick on it the strongest of 2,000 crops. “Shaken” is the mean "
            "over sixteen shifts, turns, scalings and noises that the making of the picture never used: a picture that only fools "
            "the network would not survive them.",
        ),
        element(
            "p",
            f"A second network, the witness, of another size and another start, took no part. It recognises {recognised} of the "
            f"{count} pictures.",
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
            picture(renders.images[index], f"the picture that most excites the class “{name}”"),
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
            element("p", f"fires at {value:.1f}, shaken {robust:.1f}; best photograph {best:.1f}"),
            element("span", f"{mark} the witness sees {verdict}, {chance:.0%}", class_="chip" if right else "chip no"),
            class_="words",
        ),
        class_="card",
    )


def _channels(rows: list[ChannelRow]) -> list[Html]:
    parts = [
        element("h2", "Sixteen channels at each of three depths"),
        element(
            "p",
            "A channel is one feature detector, applied everywhere in the image. The number before each multiplication sign says "
            "how much more strongly it fires for the picture than for the best of 2,000 crops.",
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
                tiles.append(_dead(number, "found no way to excite it"))
                continue
            ratio = float(row.renders.values[place]) / max(float(row.natural_best[place]), 1e-9)
            caption = element("figcaption", element("span", f"{number}"), element("span", f"{ratio:.1f} ×"))
            tiles.append(
                element(
                    "figure", picture(image, f"what excites channel {number} of {row.layer}"), caption, class_="tile"
                )
            )
        tiles += [_dead(number, "silent on all 2,000 crops") for number in row.dead]
        parts.append(element("div", *tiles, class_="tiles"))
    return parts


def _dead(number: int, reason: str) -> Html:
    return element("figure", element("span", f"channel {number}: {reason}"), class_="tile dead")


def _inversions(inversions: Inversions) -> list[Html]:
    parts = [
        element("h2", "What is still known of a photograph, deeper and deeper"),
        element(
            "p",
            "Only the numbers that one layer gives for a photograph are kept, and an image is sought that gives the same numbers. "
            "Whatever has changed is what the network no longer cares about. The cosine is between the numbers wanted and those "
            "read again from the picture.",
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
                    picture(renders.images[index], f"the photograph “{name}” as {path} knows it"),
                    element("figcaption", element("span", path), element("span", f"cosine {cosine:.3f}")),
                    class_="tile",
                )
            )
        parts.append(element("div", *tiles, class_="inversion"))
    return parts


def _closing(demo: Demo) -> Html:
    settings = demo.classes.renders.settings
    recipe = settings["recipe"]
    return element(
        "footer",
        element(
            "p",
            "A picture shows what excites a unit most, not all that it answers to, and one network's idea of coins is not what "
            "coins are. The photographs come with scikit-image and scikit-learn; the model card names their sources.",
        ),
        element(
            "p",
            f"phosphene {phosphene.__version__}, {settings['backend']}, {demo.seconds:.0f} s in all. Recipe: "
            f"{recipe['steps']} steps, {recipe['parameterization']}, {', '.join(recipe['transforms'])}, "
            f"{', '.join(recipe['regularizers'])}, {recipe['optimizer']}. Seed {settings['seed']}.",
        ),
        element(
            "p",
            "On your own model: ",
            element("code", "net = phosphene.wrap(model, size=(224, 224)); phosphene.render(net, phosphene.logit(0))"),
        ),
    )
