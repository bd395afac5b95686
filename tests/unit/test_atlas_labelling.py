"""Labels of planted groups, their bootstrap against loops, and what is not claimed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phosphene import errors
from phosphene.atlas import Atlas, ChartSettings, GraphSettings, GridSettings, LayoutSettings, MeasureSettings, chart
from phosphene.atlas.evidence import Evidence, network_evidence, rank_of_answers, text_answers, text_evidence
from phosphene.atlas.labels import UNKNOWN, Labels, LabelSettings, label
from phosphene.draws import generator

pytest.importorskip("scipy")
SIZES = (30, 40, 12, 8, 1, 4)


def _groups(sizes: tuple[int, ...] = SIZES) -> tuple[np.ndarray, np.ndarray]:
    """Points shuffled, and where each group begins."""
    return np.random.default_rng(0).permutation(sum(sizes)), np.concatenate([[0], np.cumsum(sizes)])


def _planted(strength: float = 2.0, classes: int = 6, seed: int = 0) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Group g is of class g."""
    members, starts = _groups()
    rows = np.random.default_rng(seed).normal(size=(sum(SIZES), classes)).astype(np.float32)
    for group, (begin, end) in enumerate(pairwise(starts)):
        rows[members[begin:end], group] += strength
    return network_evidence(None, rows, np.arange(len(rows))), members, starts


def test_planted_classes_are_found() -> None:
    evidence, members, starts = _planted()
    found = label(evidence, members, starts)
    assert found.source == "logits" and found.classes.shape == (6, 5)
    assert found.classes[:4, 0].tolist() == [0, 1, 2, 3] and found.claimed[:4].all()
    assert found.text(1) == "class 1"
    # One image has no interval, and four are too few for a claim, however alike.
    assert not found.claimed[4:].any() and found.text(4) == UNKNOWN
    assert np.isnan(found.interval[4]).all() and np.isfinite(found.interval[5]).all()
    assert (np.diff(found.evidence, axis=1) <= 0).all()
    assert ((found.interval[:4, 0] < found.margin[:4]) & (found.margin[:4] < found.interval[:4, 1])).all()
    right = [np.mean(evidence.answers[members[a:b]] == g) for g, (a, b) in enumerate(pairwise(starts[:4]))]
    np.testing.assert_allclose(found.purity[:3], right)


def test_what_is_everywhere_names_nothing() -> None:
    evidence, members, starts = _planted()
    rows = np.asarray(evidence.rows) + np.array([0, 0, 50, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(
        label(network_evidence(None, rows, evidence.images), members, starts).classes,
        label(evidence, members, starts).classes,
    )
    # A softmax does not see a number that is added to all classes of a point.
    shifted = np.asarray(evidence.rows) + np.random.default_rng(1).normal(size=(len(rows), 1)) * 9
    one, other = (label(each, members, starts) for each in (evidence, network_evidence(None, shifted, evidence.images)))
    np.testing.assert_allclose(one.interval, other.interval, atol=1e-5)
    np.testing.assert_allclose(one.evidence, other.evidence, atol=1e-5)


@pytest.mark.parametrize("contenders", [3, 6])
def test_the_bootstrap_is_that_of_a_loop(contenders: int) -> None:
    evidence, members, starts = _planted(0.5)
    images = np.random.default_rng(2).integers(0, 30, len(members))
    evidence = network_evidence(None, evidence.rows, images)
    found = label(evidence, members, starts, LabelSettings(contenders=contenders, resamples=200, confidence=0.8))
    from scipy.stats import norm, t

    rows = np.asarray(evidence.rows, np.float64) - np.asarray(evidence.rows, np.float64).mean(axis=0)
    numbers = np.unique(images)
    order = dict(
        zip(
            numbers.tolist(),
            generator(0, "atlas label bunches", str(len(numbers))).permutation(len(numbers)),
            strict=True,
        )
    )
    for group in range(len(SIZES)):
        run = members[starts[group] : starts[group + 1]]
        mean = rows[run].mean(axis=0)
        strongest = np.argsort(-mean)[:contenders]
        np.testing.assert_array_equal(found.classes[group], np.argsort(-mean)[:5])
        own = sorted(set(images[run].tolist()), key=lambda image: order[image])
        if len(own) == 1:
            assert np.isnan(found.interval[group]).all()
            continue
        many = len(own)
        draws = generator(0, "atlas labels", str(many)).multinomial(many, np.full(many, 1 / many), size=200)
        margins = []
        for draw in draws:
            points = [
                p for image, times in zip(own, draw, strict=True) for p in list(run[images[run] == image]) * times
            ]
            means = rows[points][:, strongest].mean(axis=0)
            margins.append(means[0] - means[1:].max())
        tail = norm.cdf(np.sqrt(many / (many - 1)) * t.ppf(0.1, many - 1))
        np.testing.assert_allclose(found.interval[group], np.quantile(margins, [tail, 1 - tail]), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(2, 12), st.integers(1, 3))
def test_a_label_is_claimed_only_where_the_margin_excludes_nothing(
    seed: int, strength: float, classes: int, each: int
) -> None:
    random = np.random.default_rng(seed)
    members, starts = _groups()
    rows = random.normal(size=(len(members), classes))
    rows[members[: starts[1]], 0] += strength
    found = label(
        network_evidence(rows, None, np.arange(len(members)) // each), members, starts, LabelSettings(resamples=100)
    )
    np.testing.assert_array_equal(found.claimed & ~(found.interval[:, 0] > 0), False)
    assert (found.margin >= 0).all() and np.isnan(found.purity).all()
    # Whatever the order of the points in a group.
    other = members.copy()
    for begin, end in pairwise(starts):
        other[begin:end] = random.permutation(other[begin:end])
    again = label(
        network_evidence(rows, None, np.arange(len(members)) // each), other, starts, LabelSettings(resamples=100)
    )
    np.testing.assert_allclose(again.interval, found.interval, atol=1e-12)


@pytest.mark.parametrize(("images", "each", "classes"), [(6, 1, 2), (8, 3, 2), (30, 2, 2), (10, 1, 6)])
def test_chance_claims_no_more_than_its_share(images: int, each: int, classes: int) -> None:
    groups = 600
    random = np.random.default_rng(images)
    # Classes that are alike; points of an image are alike too, so that resampling points would claim far too much.
    rows = np.repeat(random.normal(size=(groups * images, classes)), each, axis=0)
    members, starts = np.arange(len(rows)), np.arange(groups + 1) * images * each
    found = label(network_evidence(None, rows, members // each), members, starts)
    assert found.claimed.mean() < 0.1


def test_many_images_are_resampled_in_bunches() -> None:
    random = np.random.default_rng(0)
    # Sorted by what they say: neighbours in the data are alike, and bunches must not be.
    rows = np.sort(random.normal(size=(6000, 1)), axis=0) * np.array([1.0, -1.0]) + np.array([0.2, 0.0])
    evidence = network_evidence(None, rows, np.arange(6000))
    evidence = Evidence("logits", evidence.classes, rows, np.zeros(2), evidence.images, None)
    found = label(evidence, np.arange(6000), np.array([0, 6000]))
    width = 2 * 1.96 * np.std(rows[:, 0] - rows[:, 1]) / np.sqrt(6000)
    assert found.interval[0, 1] - found.interval[0, 0] == pytest.approx(width, rel=0.15)


def test_one_class_names_nothing() -> None:
    members, starts = _groups()
    found = label(network_evidence(np.ones((len(members), 1)), None, members), members, starts)
    assert found.classes.shape == (6, 1) and not found.claimed.any() and np.isnan(found.margin).all()


def test_attributions_that_do_not_lead_to_the_answer_are_not_taken() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(500, 7))
    answers = logits.argmax(axis=1)
    images = np.arange(500)
    good, bad = logits + random.normal(size=logits.shape) * 0.2, random.normal(size=logits.shape)
    assert rank_of_answers(logits - 100, answers) > 0.9
    assert rank_of_answers(bad, answers) == pytest.approx(0.5, abs=0.05)
    assert rank_of_answers(np.zeros((500, 7)), answers) == 0.5
    assert network_evidence(good, logits, images).source == "attributions"
    chosen = network_evidence(bad, logits, images)
    assert chosen.source == "logits" and chosen.rank < 0.6
    assert network_evidence(bad, logits, images, source="attributions").rows is bad
    assert network_evidence(bad, None, images).source == "attributions"
    with pytest.raises(errors.InvalidParameter, match="evidence: expected a source that was collected, got 'logits'"):
        network_evidence(bad, None, images, source="logits")
    with pytest.raises(errors.InvalidParameter, match=r"classes: expected 7 items \(one per class\), got 2"):
        network_evidence(bad, logits, images, ["a", "b"])


def test_texts_name_groups_as_classes_do() -> None:
    members, starts = _groups()
    words = np.array(["sand", "water", "stone", "wood", "glass", "paper"], object)
    own = np.empty(len(members), object)
    for group, (begin, end) in enumerate(pairwise(starts)):
        own[members[begin:end]] = words[group]
    evidence = text_evidence(*text_answers(own.tolist(), np.arange(len(own))), np.arange(len(own)))
    found = label(evidence, members, starts)
    assert [found.text(group) for group in range(4)] == ["sand", "water", "stone", "wood"]
    assert found.source == "texts" and (found.purity == 1).all() and evidence.classes[:2] == ("water", "sand")
    # All bear it, so it is no news of any group.
    same = text_evidence(*text_answers(["photo"] * 6, members % 6), members % 6)
    assert not label(same, members, starts).claimed.any()


def test_texts_are_of_images_or_of_points() -> None:
    images = np.array([0, 0, 2, 2])
    names, answers = text_answers(["a", "b", "c"], images)
    assert names == ("a", "c") and answers.tolist() == [0, 0, 1, 1]
    assert text_answers(["a", "b", "c", "b"], images)[1].tolist() == [1, 0, 2, 0]
    with pytest.raises(
        errors.InvalidParameter,
        match=r"texts: expected 4 texts \(one per point\) or at least 3 \(one per image\), got 2",
    ):
        text_answers(["a", "b"], images)
    with pytest.raises(errors.InvalidParameter, match="texts: expected a list of str, got str"):
        text_answers("abcd", images)
    names, answers = text_answers([f"{number // 2:05}" for number in range(4000)], np.arange(4000))
    assert len(names) == 1000 and (answers == -1).sum() == 2000


def test_labels_come_back_from_their_arrays() -> None:
    found = label(*_planted())
    again = Labels.of({name: np.asarray(value) for name, value in found.arrays().items()})
    assert again.names == found.names and again.source == "logits" and again.text(0) == found.text(0)
    np.testing.assert_array_equal(again.interval, found.interval)


def test_what_cannot_be() -> None:
    evidence, members, _ = _planted()
    with pytest.raises(errors.InvalidParameter, match="starts: expected groups of at least one point"):
        label(evidence, members, np.array([0, 4, 4]))
    for wrong in (
        {"evidence": "truth"},
        {"contenders": 1},
        {"confidence": 1.0},
        {"images": 1},
        {"top": 0},
        {"resamples": 1},
    ):
        with pytest.raises(errors.InvalidParameter, match=next(iter(wrong))):
            LabelSettings(**wrong)


def test_a_chart_has_labels_and_takes_texts_later(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 80)
    vectors = np.eye(3)[truth] * 4 + random.normal(size=(240, 3)) * 0.3
    logits = np.eye(3)[truth] * 5 + random.normal(size=(240, 3))
    small = ChartSettings(
        graph=GraphSettings(15), layout=LayoutSettings("pca"), grid=GridSettings((2, 4)), measures=MeasureSettings(10)
    )
    atlas = Atlas.from_activations(vectors, tmp_path, logits=logits, classes=["sky", "sea", "land"])
    chart(atlas, settings=small)
    found, level = atlas.labels("layer", 4), atlas.grid("layer").level(4)
    for group in np.flatnonzero(found.claimed):
        members = level.members_of_group(group)
        assert found.text(group) == ("sky", "sea", "land")[np.bincount(truth[members]).argmax()]
    assert found.claimed.any() and set(atlas.clusters("layer", 2).names) == {"sky", "sea", "land"}
    with pytest.raises(errors.InvalidParameter, match=r"got 'text_labels\.layer'"):
        atlas.text_labels("layer", 4)
    with pytest.raises(errors.InvalidParameter, match="size: expected a level of 2 or 4 cells per side, got 3"):
        atlas.labels("layer", 3)
    words = np.array(["above", "below", "beyond"])[truth].tolist()
    with pytest.raises(errors.OtherStore, match=r"clusters\.layer"):
        chart(atlas, settings=small, texts=words)
    chart(atlas, settings=small)  # What was refused is not kept.
    atlas.steps.discard("clusters.layer")
    for texts in (words, None):  # Given once, they are there.
        chart(atlas, settings=small, texts=texts)
        assert set(atlas.clusters("layer", 2).names) == {"above", "below", "beyond"}
    assert atlas.text_labels("layer", 4).source == "texts" and atlas.labels("layer", 4).source == "logits"
    with pytest.raises(errors.OtherStore, match="step 'texts' of another run"):
        chart(atlas, settings=small, texts=words[::-1])
    with pytest.raises(errors.OtherStore, match="its classes is"):
        Atlas.from_activations(vectors, tmp_path, logits=logits, classes=["a", "b", "c"])
    with pytest.raises(errors.InvalidParameter, match=r"classes: expected 3 items \(one per column of logits\)"):
        Atlas.from_activations(vectors, tmp_path / "other", logits=logits, classes=["sky"])
