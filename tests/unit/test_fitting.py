"""One rule brings pictures to a size: cropped, padded or stretched, as bytes and as floats alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from phosphene.data.fitting import Fit
from phosphene.errors import InvalidImages, InvalidParameter

SHAPES = [(70, 100), (100, 70), (33, 33), (5, 90), (1, 1)]
SIZES = [(32, 32), (64, 48), (90, 140)]


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_default_is_the_central_crop_to_the_bit(shape: tuple[int, int], size: tuple[int, int]) -> None:
    picture = Image.fromarray(noise((*shape, 3)))
    truth = np.asarray(ImageOps.fit(picture, size[::-1], Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(Fit().apply(picture, size)), truth)
    np.testing.assert_array_equal(Fit().apply(np.asarray(picture), size), truth)


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_floats_agree_with_bytes_whatever_the_channels(rule: str, channels: int) -> None:
    # Of middle values: Pillow clips bytes between the two directions as well.
    picture, fit = noise((60, 90, channels)) // 2 + 64, Fit(rule, 0.8, background=0.25)
    whole, part = fit.apply(picture, (24, 20)), fit.apply(picture.astype(np.float64) / 255, (24, 20))
    assert whole.dtype == np.uint8 and part.dtype == np.float32
    assert whole.shape == part.shape == (24, 20, channels)
    assert np.abs(whole / 255 - part).max() <= 1.5 / 255


def test_the_channels_of_floats_do_not_mix() -> None:
    picture = np.random.default_rng(0).random((30, 40, 4), np.float32)
    together = Fit("stretch").apply(picture, (16, 16))
    alone = [Fit("stretch").apply(picture[..., [channel]], (16, 16)) for channel in range(4)]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=-1))


def test_a_fraction_is_resized_and_then_cut_out() -> None:
    """224 of 256, as networks of ImageNet are shown their pictures."""
    rows = np.linspace(0, 1, 512, dtype=np.float32)
    picture = np.stack(np.meshgrid(rows, rows, indexing="ij"), axis=-1)
    whole = Fit().apply(picture, 256)
    np.testing.assert_allclose(Fit(fraction=224 / 256).apply(picture, 224), whole[16:-16, 16:-16], atol=2e-3)


def test_padding_keeps_the_whole_picture_in_the_middle() -> None:
    picture = np.ones((20, 40, 3), np.float32)
    padded = Fit("pad", background=(0.0, 0.5, 0.25)).apply(picture, (32, 32))
    np.testing.assert_allclose(padded[8:24], 1, atol=1e-6)
    for row in (0, 7, 24, 31):
        np.testing.assert_allclose(padded[row], np.tile([0, 0.5, 0.25], (32, 1)), atol=1e-6)


def test_a_picture_far_longer_than_wide_keeps_a_pixel() -> None:
    assert Fit("pad").apply(noise((1, 5000, 3)), (32, 32)).shape == (32, 32, 3)
    assert Fit("crop", 1e-9).apply(noise((5, 7, 3)), (32, 32)).shape == (32, 32, 3)


def test_stretching_reaches_all_four_edges() -> None:
    picture = np.zeros((40, 80, 1), np.float32)
    picture[:, -20:] = 1
    stretched = Fit("stretch").apply(picture, (20, 20))
    np.testing.assert_allclose(stretched[:, -4:], 1, atol=0.01)
    np.testing.assert_allclose(stretched[:, :14], 0, atol=0.01)


def test_smaller_pictures_are_smoothed() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), 128)[None, :, None].repeat(256, axis=0)
    np.testing.assert_allclose(Fit().apply(stripes, 32)[:, 2:-2], 0.5, atol=0.05)


def test_values_stay_within_their_range() -> None:
    edge = np.zeros((16, 16, 1), np.float32)
    edge[:, 8:] = 1
    larger = Fit().apply(edge, 64)
    assert larger.min() == 0 and larger.max() == 1
    wider = Fit().apply(edge * 4 - 2, 64)
    assert wider.min() == -2 and wider.max() == 2


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).random((24, 32, 3), np.float32)
    for rule in ("crop", "pad", "stretch"):
        np.testing.assert_array_equal(Fit(rule).apply(picture, (24, 32)), picture)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "squash"}, "fit: expected 'crop', 'pad' or 'stretch'"),
        ({"rule": None}, "fit: expected"),
        ({"fraction": 0}, "fraction: expected a number above 0"),
        ({"fraction": 1.5}, "fraction: expected"),
        ({"fraction": "0.5"}, "fraction: expected"),
        ({"fraction": True}, "fraction: expected"),
        ({"background": -0.1}, "background: expected"),
        ({"background": 128}, "background: expected"),
        ({"background": (0.5, 2.0, 0.5)}, "background: expected"),
        ({"background": ()}, "background: expected"),
        ({"background": "white"}, "background: expected"),
    ],
)
def test_what_a_fit_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Fit(**arguments)


@pytest.mark.parametrize("size", [0, -3, 2.5, (3,), (3, 0), "ab", 10**9, None])
def test_sizes_that_are_refused(size: Any) -> None:
    with pytest.raises(InvalidParameter, match="size: expected"):
        Fit().apply(noise((8, 8, 3)), size)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8)),
        np.zeros((2, 8, 8, 3)),
        np.zeros((0, 8, 3)),
        np.zeros((8, 8, 3), np.int64),
        Image.new("P", (8, 8)),
        "cat.png",
        None,
    ],
    ids=["no channels", "a batch", "no rows", "integers", "a palette", "a path", "None"],
)
def test_pictures_that_are_refused(picture: Any) -> None:
    with pytest.raises(InvalidImages, match="picture: expected"):
        Fit().apply(picture, 8)


def test_a_background_of_other_channels_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="one number, or 5"):
        Fit("pad", background=(0.1, 0.2, 0.3)).apply(noise((8, 16, 5)), 8)


def test_it_is_compared_and_shown_by_value() -> None:
    assert Fit("pad", background=[0.1, 0.2, 0.3]) == Fit("pad", background=(0.1, 0.2, 0.3))  # type: ignore[arg-type]
    assert hash(Fit()) == hash(Fit("crop", 1))
    assert repr(Fit("pad")) == "Fit(rule='pad', fraction=1.0, background=0.5)"
