"""The arithmetic of trust against closed forms and other people's code."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from phosphene.trust.paths import path_similarity
from phosphene.trust.prediction import answered, pairs_of, specificity
from phosphene.trust.result import TrustCard
from phosphene.trust.scores import discriminability, percentiles, spectral_slope, wilson
from phosphene.trust.verdict import verdict


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    low, high = wilson(hits, count)
    expected = binomtest(hits, count).proportion_ci(0.95, "wilson")
    assert float(low) == pytest.approx(expected.low, abs=1e-6)
    assert float(high) == pytest.approx(expected.high, abs=1e-6)


def test_nothing_asked_says_nothing() -> None:
    low, high = wilson([0], [0])
    assert (low.tolist(), high.tolist()) == ([0.0], [1.0])


def test_percentiles_count_ties_half() -> None:
    natural = np.asarray([[0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    assert percentiles([2.5, 1.0], natural).tolist() == [75.0, 50.0]
    assert percentiles([0.0, 9.0], natural).tolist() == [12.5, 100.0]


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.8])
def test_spectral_slope_of_a_known_spectrum(slope: float) -> None:
    side, rng = 128, np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    found = []
    for _ in range(8):
        phases = np.exp(2j * np.pi * rng.random(frequency.shape))
        found.append(spectral_slope(np.fft.irfft2(frequency**-slope * phases, s=(side, side))[..., None]))
    assert np.mean(found) == pytest.approx(slope, abs=0.1)


def test_an_image_without_contrast_has_no_slope() -> None:
    assert math.isnan(spectral_slope(np.full((16, 16, 3), 0.5)))


def test_discriminability_of_two_normals() -> None:
    rng = np.random.default_rng(1)
    assert discriminability(rng.normal(2, 1, 20000), rng.normal(0, 1, 20000)) == pytest.approx(2.0, abs=0.05)
    assert math.isnan(discriminability([], [1.0])) and math.isnan(discriminability([1.0], [1.0]))


def test_pairs_hold_no_image_twice_and_a_strong_one_each() -> None:
    values = np.random.default_rng(2).normal(size=(3, 400))
    pairs = pairs_of(values, most=1000, seed=4)
    for row in range(3):
        used = [*pairs.strong[row], *pairs.weak[row], pairs.reference[row]]
        assert len(used) == len(set(used)) == 2 * 39 + 1
        assert values[row, pairs.strong[row]].min() >= np.quantile(values[row], 0.9)
        assert values[row, pairs.weak[row]].max() <= np.quantile(values[row], 0.5)
        assert pairs.reference[row] == values[row].argmax()
    other = pairs_of(values, most=1000, seed=5)
    assert not np.array_equal(pairs.strong[0], other.strong[0])


def test_a_unit_that_never_fires_is_asked_nothing() -> None:
    pairs = pairs_of(np.zeros((1, 300)))
    assert len(pairs.strong[0]) == len(pairs.weak[0]) == 0


def test_a_unit_that_fires_rarely_is_asked_about_where_it_fires() -> None:
    values = np.zeros((1, 300))
    values[0, :7] = np.arange(1, 8)
    pairs = pairs_of(values)
    assert sorted(pairs.strong[0]) == [0, 1, 2, 3, 4, 5]
    assert (values[0, pairs.weak[0]] == 0).all()


def test_a_judge_who_sees_the_value_is_always_right_and_one_who_guesses_half() -> None:
    values = np.random.default_rng(3).random((2, 1000))
    pairs = pairs_of(values, most=200)
    right, asked = answered(pairs, 1 - values)
    assert right.tolist() == asked.tolist()
    guessed = np.random.default_rng(5).random((2, 1000))
    right, asked = answered(pairs, guessed)
    assert (np.abs(right / asked - 0.5) < 0.2).all()
    right, _ = answered(pairs, np.zeros((2, 1000)))
    assert right.tolist() == [0, 0]  # a tie is no answer


def test_a_picture_that_every_other_could_stand_for_is_not_specific() -> None:
    values = np.random.default_rng(4).random((6, 600))
    pairs = pairs_of(values)
    beside = [[other for other in range(6) if other != row] for row in range(6)]
    own = specificity(pairs, 1 - values, beside, {})
    assert own.tolist() == [1.0] * 6
    alike = specificity(pairs, np.repeat(1 - values[:1], 6, axis=0), beside, {})
    assert alike.tolist() == [0.5] * 6  # all tell the same
    few = specificity(pairs, 1 - values, [[1]] * 6, {})
    assert np.isnan(few).all()
    further = {0: np.zeros((5, 600))}
    assert specificity(pairs, 1 - values, [[]] * 6, further)[0] == 1.0


def test_the_path_of_the_strongest_images_is_one_and_of_any_image_zero() -> None:
    rng = np.random.default_rng(6)
    cells = rng.normal(size=(800, 60))
    values = cells[:, :12].sum(axis=1)[None]
    cells[values[0] > np.quantile(values[0], 0.95)] += 2.0 * rng.normal(size=60)  # what the strongest share
    order = np.argsort(-values[0])

    def similarity(picture: np.ndarray) -> float:
        return float(path_similarity(values, {"a": cells}, {"a": picture[None]}, (("a",),))[0])

    strong = [similarity(cells[index]) for index in order[20:36]]
    weak = [similarity(cells[index]) for index in order[400:440]]
    assert np.mean(strong) == pytest.approx(1.0, abs=0.15)
    assert np.mean(weak) == pytest.approx(0.0, abs=0.15)


GOOD = TrustCard(
    label="unit",
    word="",
    reason="",
    picture=np.zeros((2, 2, 3), np.float32),
    clean=5.0,
    robust=4.8,
    percentile=100.0,
    robust_percentile=100.0,
    interval=(99.6, 100.0),
    kept=0.9,
    rank=1,
    units=64,
    consistency=4.0,
    path=0.8,
    slope=1.4,
    natural_slope=1.4,
    specificity=0.95,
    score=0.95,
    score_interval=(0.89, 0.98),
    natural_score=0.9,
    asked=99,
)


def test_a_card_with_nothing_wrong_is_reliable() -> None:
    word, reason = verdict(GOOD, 1000)
    assert word == "reliable" and "95%" in reason


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({"percentile": 40.0}, "failed", "60% of real images"),
        ({"robust_percentile": 30.0}, "failed", "under small transforms"),
        ({"rank": 40}, "failed", "39 of the 63 other units"),
        ({"consistency": 0.1}, "failed", "other seeds are hardly more similar to it"),
        ({"path": -0.3}, "failed", "another path"),
        ({"slope": -0.3}, "failed", "too much fine detail"),
        ({"slope": 3.1}, "failed", "too little fine detail"),
        ({"score": 0.52, "score_interval": (0.42, 0.57)}, "failed", "52%"),
        ({"score": 0.57, "score_interval": (0.52, 0.71)}, "doubtful", "57%"),
        ({"path": 0.05}, "doubtful", "another path"),
        ({"specificity": 0.5}, "doubtful", "50% of the layer's other units"),
        ({"nearest": ((7, 0.9),)}, "doubtful", "channel 7"),
        ({"clean": float("nan")}, "failed", "finite"),
    ],
)
def test_whatever_is_wrong_is_said(change: dict[str, Any], words: str, said: str) -> None:
    word, reason = verdict(replace(GOOD, **change), 1000)
    assert word == words
    assert said in reason


def test_of_too_few_images_no_word_is_claimed() -> None:
    word, reason = verdict(replace(GOOD, interval=(72.0, 100.0)), 10)
    assert word == "not judged"
    assert "10 real images are not enough" in reason and "72" in reason


def test_of_one_seed_no_word_is_claimed_but_a_failure_stands() -> None:
    alone = replace(GOOD, consistency=float("nan"))
    word, reason = verdict(alone, 1000)
    assert word == "not judged" and "seeds" in reason
    assert verdict(replace(alone, percentile=10.0), 1000)[0] == "failed"


def test_of_a_unit_that_never_fires_no_word_is_claimed() -> None:
    silent = replace(
        GOOD, asked=0, score=float("nan"), natural_score=float("nan"), score_interval=(0.0, 1.0), path=float("nan")
    )
    word, reason = verdict(silent, 1000)
    assert word == "not judged" and "to all of these real images alike" in reason
