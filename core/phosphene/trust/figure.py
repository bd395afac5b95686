"""The figure of `TrustCards`: pictures with their verdicts, between the real images that activate their unit least and most."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from phosphene.kit.figures import figure_class, finished, fitted, show_image

if TYPE_CHECKING:
    from phosphene.trust.result import TrustCards

__all__ = ["COLOURS", "plot_trust_cards"]

COLOURS = {"reliable": "#00735C", "doubtful": "#B35C00", "failed": "#B3261E", "not judged": "#5B6270"}
"""Dark enough to be read on white; the word is always written as well."""

SHOWN = 3
"""Real images per side."""


def plot_trust_cards(found: TrustCards, *, cards: int = 8) -> Any:
    """Draw `TrustCards`; see `TrustCards.plot`."""
    shown = list(found)[: max(1, cards)]
    figure = figure_class()(figsize=(9.2, 0.35 + 1.15 * len(shown)), layout="constrained")
    columns = 2 * SHOWN + 2
    axes = figure.subplots(len(shown), columns, squeeze=False, width_ratios=[1.0] * (columns - 1) + [4.2])
    for row, (line, card) in enumerate(zip(axes, shown, strict=True)):
        for axis in line:
            axis.axis("off")
        pictures = [*card.weakest[:SHOWN][::-1], *[None] * (SHOWN - len(card.weakest[:SHOWN]))]
        pictures += [card.picture, *card.strongest[:SHOWN]]
        for axis, image in zip(line, pictures, strict=False):
            if image is not None:
                show_image(axis, image)
        text = line[-1]
        text.text(0.0, 0.97, fitted(card.label, 3.4, 9), fontsize=9, weight="bold", va="top", transform=text.transAxes)
        text.text(
            0.0,
            0.74,
            card.word,
            fontsize=9,
            weight="bold",
            va="top",
            color=COLOURS[card.word],
            transform=text.transAxes,
        )
        reason = textwrap.shorten(card.reason, 170, placeholder=" ...")
        text.text(0.0, 0.52, textwrap.fill(reason, 62), fontsize=6.5, va="top", transform=text.transAxes)
        if row == 0:
            line[SHOWN // 2].set_title("real images: least", fontsize=8)
            line[SHOWN].set_title("picture", fontsize=8)
            line[SHOWN + 1 + SHOWN // 2].set_title("real images: most", fontsize=8)
    return finished(figure)
