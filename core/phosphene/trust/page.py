"""The page of trust cards: each picture with its verdict, the reason, the figures, and real images."""

from __future__ import annotations

import math

from phosphene.kit.html import Html, element, page, picture
from phosphene.kit.pictures import as_picture
from phosphene.trust.result import WORDS, TrustCard, TrustCards

__all__ = ["card_of", "trust_page", "word_chip"]


def trust_page(found: TrustCards) -> str:
    """Make the page as one self-contained HTML document."""
    facts = {word: str(found.words.count(word)) for word in WORDS if word in found.words}
    scores = [card.score for card in found if not math.isnan(card.score)]
    if scores:
        facts["correct from the picture"] = f"{sum(scores) / len(scores):.0%}"
    natural = [card.natural_score for card in found if not math.isnan(card.natural_score)]
    if natural:
        facts["correct from the best real image"] = f"{sum(natural) / len(natural):.0%}"
    boxes = [element("div", element("b", value), element("span", name)) for name, value in facts.items()]
    return page(
        f"How far to trust these pictures of {found.settings.get('network', 'a network')}",
        element("h1", "How far can these pictures be trusted?"),
        element(
            "p",
            f"Each picture was compared with {found.images:,} real images. A blind judge, which has no access to the network, was "
            "given the picture and pairs of real images, and had to tell which image of a pair activates the unit more; chance "
            "is 50%. The tick on the bar is the score with the most activating real image in place of the picture.",
        ),
        element("div", *boxes, class_="facts"),
        element("div", *(card_of(card) for card in found), class_="grid wide"),
    )


def card_of(card: TrustCard) -> Html:
    """Make the card of one picture."""
    real = []
    for kind, images in (("most", card.strongest), ("least", card.weakest)):
        if len(images):
            tiles = [picture(as_picture(image), f"a real image that activates it {kind}") for image in images[:2]]
            real += [element("p", f"real, {kind} activating"), element("div", *tiles, class_="strip")]
    return element(
        "article",
        element(
            "div",
            picture(as_picture(card.picture), f"what activates {card.label} most"),
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
    """Make the coloured label with the verdict."""
    return element("span", card.word, class_=f"chip word-{card.word.replace(' ', '-')}", title=card.reason)


def _score(card: TrustCard) -> list[Html]:
    if math.isnan(card.score):
        return []
    low, high = card.score_interval
    told = f"{card.score:.0%} of pairs correct ({low:.0%} to {high:.0%})"
    if not math.isnan(card.people):
        told += f"; people {card.people:.0%} ({card.people_interval[0]:.0%} to {card.people_interval[1]:.0%})"
    bar = element(
        "div",
        element("i", style=f"width:{100 * card.score:.1f}%"),
        element("b", style=f"left:{100 * card.natural_score:.1f}%"),
        class_="meter",
        role="img",
        aria_label=f"{told}; {card.natural_score:.0%} with the most activating real image",
    )
    return [bar, element("p", told, class_="told")]


def _figures(card: TrustCard) -> Html:
    rows = {
        "value on the picture": f"{card.clean:.4g}",
        "value under held-out transforms": f"{card.robust:.4g} ({card.kept:.0%} of its lead over real images is kept)",
        "percentile among real images": f"{card.percentile:.4g}% ({card.interval[0]:.3g} to {card.interval[1]:.3g}); "
        f"under transforms {card.robust_percentile:.4g}%",
        "rank among the units of the layer": f"{card.rank} of {card.units}" if card.rank else "not a unit of one layer",
        "other units' pictures that predict it worse": f"{card.specificity:.0%}",
        "consistency over seeds (d')": f"{card.consistency:.2f}",
        "similarity to the path of real images (at most 1)": f"{card.path:.2f}",
        "spectral slope": f"{card.slope:.2f}; real images {card.natural_slope:.2f}",
        "pairs correct with the best real image": f"{card.natural_score:.0%} of {card.asked}",
    }
    if card.nearest:
        rows["most correlated other channels"] = ", ".join(f"{channel} ({r:.2f})" for channel, r in card.nearest)
    body = [
        element("tr", element("th", name), element("td", value.replace("nan%", "-").replace("nan", "-")))
        for name, value in rows.items()
    ]
    return element("table", *body)
