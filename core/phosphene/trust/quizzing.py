"""`quiz`: the questions that the blind judge answers, for people; and their answers, beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phosphene.activations import ImagesLike
from phosphene.backend import Network
from phosphene.draws import generator, integer
from phosphene.errors import InvalidParameter, said
from phosphene.objectives import Objective, as_objective
from phosphene.results import Quiz, Renders, TrustCards
from phosphene.trust.measures import wilson
from phosphene.trust.natural import bound_at, gathered, look
from phosphene.trust.predicting import STRONG, WEAK, pairs_of
from phosphene.trust.seeds import objectives_of
from phosphene.types import UserObjective

__all__ = ["quiz", "with_answers"]


def quiz(
    network: Network,
    renders: Renders,
    images: ImagesLike = "photos:1000",
    *,
    questions: int = 12,
    seed: int = 0,
    objectives: Sequence[Objective | UserObjective] | None = None,
) -> Quiz:
    """Ask people what a blind judge is asked: which of two real patches excites the unit of a picture more.

    One patch of a question is among the tenth of the images that excite the unit most, the other in the lower half. Questions
    about all units come in an order of their own, and the stronger patch is on either side as often.

    Parameters
    ----------
    network : Network
        That the pictures are of.
    renders : Renders
        From `phosphene.render`.
    images : array-like, path, sequence or iterable, default "photos:1000"
        As of `phosphene.activations`; at least 20.
    questions : int, default 12
        A picture; fewer where a unit tells too few images apart.
    seed : int, default 0
        Of the choice of patches, their order and their sides.
    objectives : sequence of objective or function, optional
        What the pictures show, one each; read from the result when absent.

    Returns
    -------
    Quiz

    Raises
    ------
    InvalidParameter
        For fewer than 20 images, another number of objectives than pictures, and where no unit tells images apart.
    """
    questions = integer("questions", questions, minimum=1)
    wanted = objectives_of(network, renders) if objectives is None else [as_objective(item) for item in objectives]
    if len(wanted) != len(renders):
        raise InvalidParameter(
            "objectives", allowed=f"{len(renders)}, one a picture", received=said(f"{len(wanted)}"), fix=""
        )
    patches = gathered(network, images)
    if len(patches) < 20:
        raise InvalidParameter(
            "images",
            allowed="at least 20",
            received=said(f"{len(patches)}"),
            fix="Pairs are drawn from them; give hundreds.",
        )
    bound = bound_at(network, wanted, patches)
    pairs = pairs_of(look(network, bound, (), patches).values, most=questions, seed=seed)
    rows = [
        (row, int(strong), int(weak))
        for row in range(len(wanted))
        for strong, weak in zip(pairs.strong[row], pairs.weak[row], strict=True)
    ]
    if not rows:
        raise InvalidParameter(
            "images", allowed="images to which the units answer differently", received=said(f"{len(patches)} others"),
            fix="The units never fire on them: give images of more kinds, or pictures of live units.",
        )  # fmt: skip
    rng = generator(seed, "quiz")
    rows = [rows[place] for place in rng.permutation(len(rows))]
    # As many on the left as on the right: a person who always says "left" must not do better than by chance.
    sides = rng.permutation(np.arange(len(rows)) % 2)
    used = sorted({image for row in rows for image in row[1:]})
    number = {image: place for place, image in enumerate(used)}
    asked = [
        (unit, number[strong], number[weak]) if side == 0 else (unit, number[weak], number[strong])
        for (unit, strong, weak), side in zip(rows, sides, strict=True)
    ]
    settings = {
        "network": network.name, "fingerprint": network.fingerprint(), "images": len(patches), "seed": seed,
        "patches": f"one of the strongest {1 - STRONG:.0%}, one of the weaker {WEAK:.0%}",
    }  # fmt: skip
    return Quiz(
        pictures=renders.images,
        labels=renders.labels,
        patches=patches[used],
        questions=np.asarray(asked, np.int64),
        answers=np.asarray(sides, np.int64),
        settings=settings,
    )


def with_answers(cards: TrustCards, asked: Quiz, paths: Sequence[str | Path]) -> TrustCards:
    """See `TrustCards.with_answers`."""
    if not paths:
        raise InvalidParameter(
            "answers", allowed="at least one file of answers", received=paths, fix="The page saves them."
        )
    given = [asked.read_answers(path) for path in paths]
    right, count = np.zeros(len(asked.pictures), np.int64), np.zeros(len(asked.pictures), np.int64)
    for answers in given:
        done = answers >= 0
        np.add.at(count, asked.questions[done, 0], 1)
        np.add.at(right, asked.questions[done & (answers == asked.answers), 0], 1)
    low, high = wilson(right, count)
    by_picture = {picture.tobytes(): row for row, picture in enumerate(asked.pictures)}
    if not any(card.picture.tobytes() in by_picture for card in cards):
        raise InvalidParameter(
            "quiz", allowed="a quiz on these pictures", received=said("one on others"),
            fix="Make it with ph.quiz of the same result.",
        )  # fmt: skip
    merged = []
    for card in cards:
        row = by_picture.get(card.picture.tobytes())
        if row is not None and count[row]:
            interval = (float(low[row]), float(high[row]))
            card = replace(card, people=float(right[row] / count[row]), people_interval=interval)
        merged.append(card)
    return replace(cards, cards=tuple(merged))
