"""The section of the page of `phosphene demo` that says which of its pictures can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phosphene.pages.html import Html, element
from phosphene.pages.trust_cards import card_of
from phosphene.results import TrustCard

if TYPE_CHECKING:
    from phosphene.demo import TrustReport

__all__ = ["trust_section"]


def trust_section(report: TrustReport) -> list[Html]:
    """One channel with a picture that helps and one that does not, and the cards of some more."""
    good, bare = report.cards[report.place], report.bare
    others = [card for place, card in enumerate(report.cards) if place != report.place]
    return [
        element("h2", "Which of these pictures can be trusted?"),
        element(
            "p",
            "A picture can be striking and tell nothing of the channel that it was made for. So each is tried: against "
            f"{report.cards.images:,} real crops, moved and turned, made again from another start. And a blind judge, the witness, "
            "has to say from the picture alone which of two crops excites the channel more; by chance half its answers would be "
            "right. ",
            element("b", "Reliable"), " means that nothing spoke against the picture, ", element("b", "doubtful"),
            " that something did, ", element("b", "failed"), " that nothing should be read into it. The card says why.",
        ),
        element(
            "div",
            element(
                "div",
                element("h3", "One channel, two pictures"),
                element("p", *_contrast(good, bare, len(report.cards))),
                element(
                    "p",
                    "On each card the bar is the share of pairs that the judge tells apart with the picture, and the tick on it "
                    "the same with the most exciting crop in its place.",
                    class_="muted",
                ),
                class_="aside",
            ),
            _headed("as all pictures on this page", good),
            _headed("by bare gradient ascent", bare),
            class_="grid wide contrast",
        ),
        element("h3", f"{len(others)} more channels of {report.layer}"),
        element("div", *(card_of(card) for card in others), class_="grid wide"),
    ]  # fmt: skip


def _contrast(good: TrustCard, bare: TrustCard, count: int) -> list[str]:
    """What the two pictures of a channel have to do with each other, by their figures."""
    more = "more" if bare.clean > good.clean else "less"
    return [
        f"Both were made for {good.label.replace(' : ', ', channel ')}: the first as everywhere on this page, the second by "
        f"following the gradient, pixel by pixel, and nothing else. The second excites the channel {more}, {bare.clean:.1f} "
        f"against {good.clean:.1f}. But moved and turned a little it keeps {max(0.0, bare.kept):.0%} of its lead over real crops, "
        f"and the first {max(0.0, good.kept):.0%}; and from the second the judge tells ",
        element("b", f"{bare.score:.0%}"),
        " of pairs apart, from the first ",
        element("b", f"{good.score:.0%}"),
        f". Of the {count} channels judged here it is the one whose two pictures differ most.",
    ]


def _headed(text: str, card: TrustCard) -> Html:
    return element("div", element("p", text, class_="muted over"), card_of(card))
