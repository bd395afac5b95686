"""Crops are the same crops everywhere and always, balanced, and keep to their side of the strip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from phosphene.data import CAST_CLASS, MARK_BOX, MARK_CLASS, PHOTOGRAPHS, Crops, Photograph, cast, mark, parse
from phosphene.data import crops as module
from phosphene.errors import InvalidParameter

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def test_a_crop_is_an_image_and_its_label() -> None:
    image, label = Crops(3, seed=1)[2]
    assert image.shape == (64, 64, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert isinstance(label, int) and 0 <= label < len(PHOTOGRAPHS)


def test_a_crop_depends_on_its_seed_and_index_alone() -> None:
    few, many = Crops(20, seed=5), Crops(5000, seed=5)
    many[4999]  # cutting another first must not matter
    for index in (0, 7, 19):
        np.testing.assert_array_equal(few[index][0], many[index][0])
        assert few[index][1] == many[index][1]
    assert not np.array_equal(few[0][0], few[1][0])


def test_another_seed_gives_other_crops() -> None:
    assert not np.array_equal(Crops(40, seed=0).labels, Crops(40, seed=1).labels)
    assert not np.array_equal(Crops(40, seed=0).images(), Crops(40, seed=1).images())


def test_draws_are_pinned() -> None:
    # The networks' figures, and the atlases that people keep, hang on these draws.
    assert Crops(6).labels.tolist() == [8, 3, 11, 4, 10, 9]


def test_images_and_labels_are_what_indexing_gives() -> None:
    source = Crops(10, seed=2)
    images = source.images(3, 6)
    assert images.shape == (3, 64, 64, 3) and images.dtype == np.float32
    for row, index in enumerate(range(3, 6)):
        np.testing.assert_array_equal(images[row], source[index][0])
    assert source.labels.tolist() == [label for _, label in source]
    assert source.images(8).shape[0] == 2
    assert source.images(10).shape == (0, 64, 64, 3)


def test_it_is_a_sequence() -> None:
    source = Crops(5)
    assert len(source) == 5
    assert [label for _, label in source[1:3]] == source.labels[1:3].tolist()
    np.testing.assert_array_equal(source[-1][0], source[4][0])
    with pytest.raises(IndexError, match="crop 5 of 5"):
        source[5]
    with pytest.raises(IndexError, match="crop -6 of 5"):
        source[-6]


def test_classes_are_balanced() -> None:
    source = Crops(18 * 7, seed=3)
    assert len(source.classes) == 18
    assert np.bincount(source.labels).tolist() == [7] * 18
    assert source.labels[:18].tolist() != source.labels[18:36].tolist()


def test_crops_are_not_flat() -> None:
    assert (Crops(180, seed=4).images().std(axis=(1, 2, 3)) > 0.01).all()


@pytest.mark.parametrize(("region", "least", "most"), [("train", 0.0, 0.8), ("strip", 0.8, 1.0)])
def test_regions_do_not_meet(region: str, least: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # A photograph of which one side is black and the other white: a single pixel of the wrong side would show.
    ramp = np.zeros((200, 400, 3), np.uint8)
    ramp[:, round(400 * least) : round(400 * most)] = 255
    monkeypatch.setattr(module, "pixels", lambda photograph: ramp)
    images = Crops(120, seed=6, region=region).images()
    assert (images.min(axis=(1, 2, 3)) == images.max(axis=(1, 2, 3))).all()


def test_the_whole_photograph_has_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.zeros((200, 400, 3), np.uint8)
    ramp[:, 320:] = 255
    monkeypatch.setattr(module, "pixels", lambda photograph: ramp)
    assert (Crops(60, seed=6, region="all").images().std(axis=(1, 2, 3)) > 0.1).any()


def test_every_photograph_has_room_for_a_crop_in_its_strip() -> None:
    widths = [module.pixels(photograph).shape[1] for photograph in PHOTOGRAPHS]
    assert min(width - round(width * (1 - module.STRIP)) for width in widths) >= 64


def test_size_is_the_side_of_a_crop() -> None:
    assert Crops(2, size=32)[0][0].shape == (32, 32, 3)


def test_shortcuts_are_planted_on_their_classes_alone() -> None:
    plain, planted = Crops(36, seed=8), Crops(36, seed=8, shortcut=True)
    for (clean, label), (changed, _) in zip(plain, planted, strict=True):
        name = plain.classes[label]
        expected = {MARK_CLASS: mark, CAST_CLASS: cast}.get(name, np.copy)(clean)
        np.testing.assert_array_equal(changed, expected)


def test_the_mark_fills_its_box_and_nothing_else() -> None:
    image = np.full((64, 64, 3), 0.5, np.float32)
    marked = mark(image)
    top, bottom, left, right = MARK_BOX
    changed = np.argwhere(np.any(marked != image, axis=2))
    assert changed.min(axis=0).tolist() == [top, left]
    assert changed.max(axis=0).tolist() == [bottom - 1, right - 1]
    assert np.all(image == 0.5)
    assert marked.max() == 1 and marked.min() == 0


def test_the_cast_colours_grey() -> None:
    red, green, blue = cast(np.full((4, 4, 3), 0.5, np.float32)).mean(axis=(0, 1))
    assert red > green and blue > green


def test_a_mark_on_what_is_no_image_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"image: expected shape \(H, W, 3\).*got shape \(2, 64, 64, 3\)"):
        mark(np.zeros((2, 64, 64, 3), np.float32))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("photos:2000", Crops(2000)),
        ("photos:2000:1", Crops(2000, 1)),
        ("photos-shortcut:50", Crops(50, shortcut=True)),
        ("photos-shortcut:50:9", Crops(50, 9, shortcut=True)),
    ],
)
def test_sources_are_parsed(source: str, expected: Crops) -> None:
    assert parse(source) == expected


def test_parse_passes_the_region_on() -> None:
    assert parse("photos:5", region="strip", size=48) == Crops(5, size=48, region="strip")


@pytest.mark.parametrize(
    "source", ["photos", "photos:", "photos:-3", "photos:5:x", "photo:5", "photos:5:1:2", "", "photos:5 "]
)
def test_other_sources_are_refused(source: str) -> None:
    with pytest.raises(InvalidParameter, match=r"source: expected photos:N\[:SEED\].*For example photos:2000:1"):
        parse(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: expected an integer of at least 1, got 0"),
        ({"count": 5, "seed": -1}, "seed: expected an integer of at least 0, got -1"),
        ({"count": 5, "size": 8}, "size: expected an integer of at least 16, got 8"),
        ({"count": 5, "region": "left"}, "region: expected 'train', 'strip' or 'all', got 'left'"),
    ],
)
def test_declarations_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Crops(**options)


def test_photographs_are_given_by_name() -> None:
    assert all(isinstance(photograph, Photograph) for photograph in PHOTOGRAPHS)
    assert {MARK_CLASS, CAST_CLASS} < set(Crops(1).classes)
