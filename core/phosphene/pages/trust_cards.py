"""Trust cards as a page: each picture with its word, its reason, its figures, and what real images say of its unit."""

from __future__ import annotations

import math

from phosphene.pages.html import Html, element, page, picture
from phosphene.results import TrustCard, TrustCards, as_picture
from phosphene.results.trust_cards import WORDS

__all__ = ["card_of", "trust_page", "word_chip"]


def trust_page(found: TrustCards) -> str:
    """The whole document; it loads nothing from anywhere."""
    facts = {word: str(found.words.count(word)) for word in WORDS if word in found.words}
    scores = [card.score for card in found if not math.isnan(card.score)]
    if scores:
        facts["told apart with the picture"] = f"{sum(scores) / len(scores):.0%}"
    natural = [card.natural_score for card in found if not math.isnan(card.natural_score)]
    if natural:
        facts["with the best real image"] = f"{sum(natural) / len(natural):.0%}"
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    return page(
        f"How far to trust these pictures of {found.settings.get('network', 'a network')}",
        element("h1", "How far can these pictures be trusted?"),
        element(
            "p",
            f"Each picture was held against {found.images:,} real images. A blind judge, who never saw the network, was given the "
            "picture and pairs of real images, and had to say which of a pair excites the unit more: half would be right by "
            "chance. The tick on the bar is what the most exciting real image achieves in the picture's place.",
        ),
        element("div", *boxes, class_="facts"),
        element("div", *(card_of(card) for card in found), class_="grid wide"),
    )


def card_of(card: TrustCard) -> Html:
    """One card."""
    real = []
    for kind, images in (("most", card.strongest), ("least", card.weakest)):
        if len(images):
            tiles = [picture(as_picture(image), f"a real image that excites it {kind}") for image in images[:2]]
            real += [element("p", f"real, {kind} exciting"), element("div", *tiles, class_="strip")]
    return element(
        "article",
        element(
            "div",
            picture(as_picture(card.picture), f"what excites {card.label} most"),
            element("div", *real, class_="beside"),
            class_="halves",
        ),
        element(
            "div",
            element("h3", card.label, " ", word_chip(card)),
            *_score(card),
            element("p", card.reason[:1].upper() + card.reason[1:] + "."),
            element("details", element("summary", "figures"), _figures(card)),
            class_="words",
        ),
        class_="card trust",
    )


def word_chip(card: TrustCard) -> Html:
    """The word, in its colour."""
    return element("span", card.word, class_=f"chip word-{card.word.replace(' ', '-')}", title=card.reason)


def _score(card: TrustCard) -> list[Html]:
    if math.isnan(card.score):
        return []
    low, high = card.score_interval
    told = f"{card.score:.0%} of pairs told apart ({low:.0%} to {high:.0%})"
    if not math.isnan(card.people):
        told += f"; by people {card.people:.0%} ({card.people_interval[0]:.0%} to {card.people_interval[1]:.0%})"
    bar = element(
        "div",
        element("i", style=f"width:{100 * card.score:.1f}%"),
        element("b", style=f"left:{100 * card.natural_score:.1f}%"),
        class_="meter", role="img", aria_label=f"{told}; {card.natural_score:.0%} with the most exciting real image",
    )  # fmt: skip
    return [bar, element("p", told, class_="told")]


def _figures(card: TrustCard) -> Html:
    rows = {
        "value on the picture": f"{card.clean:.4g}",
        "moved, turned, with noise": f"{card.robust:.4g} ({card.kept:.0%} of its lead is left)",
        "real images below it": f"{card.percentile:.4g}% ({card.interval[0]:.3g} to {card.interval[1]:.3g}); "
        f"moved {card.robust_percentile:.4g}%",
        "place among the layer's units": f"{card.rank} of {card.units}" if card.rank else "not a unit of one layer",
        "other units' pictures that tell less of it": f"{card.specificity:.0%}",
        "alike over seeds (d')": f"{card.consistency:.2f}",
        "path of real images (1 is all)": f"{card.path:.2f}",
        "fall of the spectrum": f"{card.slope:.2f}; real images {card.natural_slope:.2f}",
        "pairs told apart with the best real image": f"{card.natural_score:.0%} of {card.asked}",
    }
    if card.nearest:
        rows["nearest other channels"] = ", ".join(f"{channel} ({r:.2f})" for channel, r in card.nearest)
    body = [
        element("tr", element("th", name), element("td", value.replace("nan%", "-").replace("nan", "-")))
        for name, value in rows.items()
    ]
    return element("table", *body)
