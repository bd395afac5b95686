"""A unit that shows an ascent something else than what it answers to on photographs is found out (Geirhos et al. 2023)."""

from __future__ import annotations

import numpy as np
import pytest

import phosphene as ph

pytest.importorskip("torch")

from fooling_circuits import fooled, unlike


def deceived(count: int, steps: int) -> tuple[ph.TrustCards, np.ndarray]:
    """Cards of `count` circuits, and which of them show what they are meant to show."""
    honest = [int(index) for index in np.random.default_rng(3).permutation(128)[:count]]
    shown = unlike(honest)
    network, recognised = fooled(honest, shown)
    assert recognised > 0.95
    pictures = ph.render(
        network, [ph.channel("circuits", index) for index in range(count)], size=64, steps=steps, progress=False
    )
    specimen = ph.load("specimen", backend="torch")
    units = ph.activations(specimen, pictures.images, "stage3")["stage3"].mean(axis=(1, 2))
    as_shown = units[range(count), shown] > units[range(count), honest]
    return ph.assess(network, pictures, "photos:1000", seeds=2), as_shown


@pytest.mark.slow
def test_fooling_circuits_are_doubted() -> None:
    # Some ascents get past the detector, and show what the unit is: at least twenty that do not are asked about.
    words = deceiving(28, 160)
    assert len(words) >= 20
    assert "reliable" not in words, words


@pytest.mark.slow
def test_most_of_a_few_fooling_circuits_are_doubted() -> None:
    words = deceiving(4, 96)
    assert len(words) >= 2
    assert words.count("reliable") <= 1, words


def deceiving(count: int, steps: int) -> list[str]:
    """Words of those pictures that deceive."""
    cards, as_shown = deceived(count, steps)
    return [card.word for card, shown in zip(cards, as_shown, strict=True) if shown]
