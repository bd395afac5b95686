"""Made-up quizzes: random images, random answers."""

from __future__ import annotations

import numpy as np

from phosphene.trust.quizzes.result import Quiz


def small_quiz(
    questions: int = 12,
    *,
    seed: int = 0,
    units: int = 3,
    patches: int = 8,
    channels: int = 3,
    size: tuple[int, int] = (9, 7),
) -> Quiz:
    """A quiz whose units take turns."""
    random = np.random.default_rng(seed)
    pairs = np.stack([random.permutation(patches)[:2] for _ in range(questions)])
    return Quiz(
        pictures=random.random((units, 12, 12, channels)).astype(np.float32),
        labels=tuple(f"unit <b>{unit}</b> ü" for unit in range(units)),
        patches=random.random((patches, *size, channels)).astype(np.float32),
        questions=np.column_stack([np.arange(questions) % units, pairs]).astype(np.int64),
        answers=random.integers(0, 2, questions),
        settings={"network": "made up", "seed": seed, "chosen": {"from": [0.5, 1.0]}},
    )
