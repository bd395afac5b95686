"""`quiz`: the questions of the blind judge as a quiz for people, and trust cards with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phosphene.backend import Network
from phosphene.data.declaration import ImagesLike
from phosphene.draws import generator
from phosphene.errors import InvalidParameter, said
from phosphene.kit.checks import a_network, instance, integer, one_per, seed_of
from phosphene.objectives import Objective
from phosphene.objectives.targets import as_objectives
from phosphene.rendering.result import Renders
from phosphene.trust.natural_images import bound_at, real_images, responses
from phosphene.trust.prediction import STRONG, WEAK, pairs_of
from phosphene.trust.quizzes.result import Quiz
from phosphene.trust.result import TrustCards
from phosphene.trust.scores import wilson
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
    """Make a quiz that asks people which of two real images activates the unit of a picture more.

    One image of a question is among the tenth that activates the unit most, the other in the lower half. Questions about all
    units are shuffled, and the correct answer is on either side equally often.

    Parameters
    ----------
    network : Network
        The network that the pictures were made for.
    renders : Renders
        From `phosphene.render`.
    images : images, default "photos:1000"
        At least 20 images: anything that `phosphene.images` takes.
    questions : int, default 12
        Questions per picture; fewer for a unit with too few different responses.
    seed : int, default 0
        Random seed of the choice of images, their order and their sides.
    objectives : sequence of objective or function, optional
        One objective per picture (default: read from the result; this fails for functions of your own).

    Returns
    -------
    Quiz

    Raises
    ------
    InvalidParameter
        For fewer than 20 images, when the number of objectives differs from that of the pictures, and when every unit responds to
        all images alike.
    """
    a_network(network)
    instance("renders", renders, Renders, "pictures, as phosphene.render returns them", "ph.render(net, objectives)")
    questions, seed = integer("questions", questions, minimum=1), seed_of(seed)
    wanted = objectives_of(network, renders) if objectives is None else as_objectives(objectives)
    one_per("objectives", wanted, len(renders), "picture")
    patches = real_images(network, images)
    if len(patches) < 20:
        raise InvalidParameter(
            "images",
            allowed="at least 20 images",
            received=said(f"{len(patches)}"),
            fix="Give hundreds, so that enough pairs can be drawn.",
        )
    bound = bound_at(network, wanted, patches)
    pairs = pairs_of(responses(network, bound, (), patches).values, most=questions, seed=seed)
    rows = [
        (row, int(strong), int(weak))
        for row in range(len(wanted))
        for strong, weak in zip(pairs.strong[row], pairs.weak[row], strict=True)
    ]
    if not rows:
        raise InvalidParameter(
            "images",
            allowed="images to which the units respond differently",
            received=said(f"{len(patches)} images with equal responses"),
            fix="Give more varied images, or pictures of units that are active on them.",
        )
    rng = generator(seed, "quiz")
    rows = [rows[place] for place in rng.permutation(len(rows))]
    # Balanced, so that always answering "left" is no better than chance.
    sides = rng.permutation(np.arange(len(rows)) % 2)
    used = sorted({image for row in rows for image in row[1:]})
    number = {image: place for place, image in enumerate(used)}
    asked = [
        (unit, number[strong], number[weak]) if side == 0 else (unit, number[weak], number[strong])
        for (unit, strong, weak), side in zip(rows, sides, strict=True)
    ]
    settings = {
        "network": network.name,
        "fingerprint": network.fingerprint(),
        "images": len(patches),
        "seed": seed,
        "patches": f"one of the strongest {1 - STRONG:.0%}, one of the weaker {WEAK:.0%}",
    }
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
            "answers",
            allowed="at least one file of answers",
            received=paths,
            fix='The button "Save results" of the quiz page writes one.',
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
            "quiz",
            allowed="a quiz about the pictures of these cards",
            received=said("one about other pictures"),
            fix="Make the quiz from the same result: ph.quiz(net, renders).",
        )
    merged = []
    for card in cards:
        row = by_picture.get(card.picture.tobytes())
        if row is not None and count[row]:
            interval = (float(low[row]), float(high[row]))
            card = replace(card, people=float(right[row] / count[row]), people_interval=interval)
        merged.append(card)
    return replace(cards, cards=tuple(merged))
