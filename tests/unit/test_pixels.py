"""The pixels of image files are read as they are: scaled by the range of their kind, without what is hidden, upright."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, features

from image_contents import (
    COLOURS,
    COLOURS_ON_WHITE,
    COLUMNS,
    CONTENT,
    LUMA,
    ON_WHITE,
    OPAQUE,
    RAMP,
    RAMPS,
    ROWS,
    by_tifffile,
    floats,
    png,
    saved,
    signed,
    tiff,
    transparent_key,
    whole,
)
from phosphene.data.fitting import Fit
from phosphene.data.pixels import decoded, from_pillow
from phosphene.errors import CorruptFile, InvalidImages


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", RAMPS)
def test_a_ramp_is_read_as_it_is(kind: str, channels: int) -> None:
    make, truth = RAMPS[kind]
    if truth.shape[-1] > channels:
        truth = truth @ LUMA
    found = decoded(make(), channels=channels)
    assert found.shape == (ROWS, COLUMNS, channels)
    assert np.abs(floats(found) - truth).max() <= 1 / 255
    fitted = decoded(make(), channels=channels, size=(8, 16))
    assert np.abs(floats(fitted) - Fit().apply(floats(found), (8, 16))).max() <= 1.5 / 255


def modes() -> list[Any]:
    colours, opaque = Image.fromarray(whole(COLOURS, 8)), Image.fromarray(whole(OPAQUE[..., 0], 8))
    grey = Image.fromarray(whole(RAMP[..., 0], 8))
    palette = grey.convert("P")
    lab = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    grey_on, colours_on = ON_WHITE * 255, COLOURS_ON_WHITE * 255
    rgba = Image.merge("RGBA", (*colours.split(), opaque))
    la = Image.merge("LA", (grey, opaque))
    paletted = palette.convert("PA")
    paletted.putalpha(opaque)
    # The last number: how far a mode of 8 bits may be from the colours it was made of.
    return [
        pytest.param(colours, COLOURS * 255, 0.5, id="RGB"),
        pytest.param(grey, RAMP * 255, 0.5, id="L"),
        pytest.param(palette, RAMP * 255, 0.5, id="P"),
        pytest.param(rgba, colours_on, 1, id="RGBA"),
        pytest.param(la, grey_on, 1, id="LA"),
        pytest.param(paletted, grey_on, 1, id="PA"),
        pytest.param(rgba.convert("RGBa"), colours_on, 2, id="RGBa"),
        pytest.param(la.convert("La"), grey_on, 2, id="La"),
        pytest.param(colours.convert("RGBX"), COLOURS * 255, 0.5, id="RGBX"),
        pytest.param(colours.convert("CMYK"), COLOURS * 255, 0.5, id="CMYK"),
        pytest.param(colours.convert("YCbCr"), COLOURS * 255, 4, id="YCbCr"),
        pytest.param(colours.convert("HSV"), COLOURS * 255, 7, id="HSV"),
        pytest.param(lab, COLOURS * 255, 33, id="LAB"),
        pytest.param(grey.convert("1"), np.asarray(grey.convert("1"))[..., None] * 255, 0, id="1"),
        pytest.param(Image.fromarray(whole(RAMP[..., 0], 16)), RAMP * 255, 0.01, id="I;16"),
        pytest.param(Image.fromarray(signed(32)[..., 0].astype(np.int32)), RAMP * 255, 0.01, id="I"),
        pytest.param(Image.fromarray(RAMP[..., 0].astype(np.float32)), RAMP * 255, 0.01, id="F"),
    ]


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(("picture", "truth", "off"), modes())
def test_an_image_of_pillow_of_every_mode(picture: Any, truth: np.ndarray, off: float, channels: int) -> None:
    before = picture.copy()
    if truth.shape[-1] > channels:
        truth = truth @ LUMA
    found = from_pillow(picture, channels)
    assert found.shape == (ROWS, COLUMNS, channels)
    assert np.abs(255 * floats(found) - truth).max() <= off + 0.51
    assert from_pillow(picture, channels, (8, 8), Fit("pad")).shape == (8, 8, channels)
    assert picture.mode == before.mode and picture.tobytes() == before.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "YCbCr"])
def test_opaque_pictures_of_8_bits_are_cropped_to_the_bit(tmp_path: Path, mode: str, channels: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (61, 90, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "picture", "TIFF")
    for size in ((32, 32), (40, 20), (90, 130)):
        with Image.open(tmp_path / "picture") as opened:
            truth = ImageOps.fit(opened.convert("L" if channels == 1 else "RGB"), size[::-1], Image.Resampling.LANCZOS)
        found = decoded(tmp_path / "picture", channels=channels, size=size)
        np.testing.assert_array_equal(found, np.asarray(truth).reshape(found.shape))


def clear_left(kind: str) -> bytes:
    """A red picture whose left half is clear."""
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:] = (255, 0, 0, 255)
    rgba[:, :4] = (0, 200, 0, 0)  # what lies under it
    picture = Image.fromarray(rgba)
    if kind in ("WEBP", "TIFF", "PNG"):
        return saved(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "AVIF":
        return saved(picture.resize((64, 64), Image.Resampling.NEAREST), "AVIF", quality=100, subsampling="4:4:4")
    paletted = Image.fromarray((rgba[..., 3] > 0).astype(np.uint8), "L").convert("P")
    paletted.putpalette([0, 200, 0, 255, 0, 0])
    if kind == "GIF":
        return saved(paletted, "GIF", transparency=0)
    if kind == "palette":
        return saved(paletted, "PNG", transparency=0)
    if kind == "a colour of 8 bits":
        return png(rgba[..., :3], 2, 8, transparent_key(0, 200, 0))
    if kind == "a colour of 16 bits":
        return png(rgba[..., :3].astype(np.uint16) * 257, 2, 16, transparent_key(0, 200 * 257, 0))
    raise AssertionError(kind)


CLEAR = ["PNG", "WEBP", "TIFF", "GIF", "palette", "a colour of 8 bits", "a colour of 16 bits"]


@pytest.mark.parametrize("kind", [*CLEAR, *(["AVIF"] if features.check("avif") else [])])
def test_what_is_transparent_shows_the_colour_below_and_not_what_is_hidden(kind: str) -> None:
    for background, below in ((1.0, (1, 1, 1)), (0, (0, 0, 0)), ((0.0, 0.0, 1.0), (0, 0, 1))):
        found = floats(decoded(clear_left(kind), background=background))
        width = found.shape[1]
        assert np.abs(found[:, : width // 2 - 1] - below).max() <= 2 / 255
        assert np.abs(found[:, width // 2 + 1 :] - (1, 0, 0)).max() <= 3 / 255
    grey = floats(decoded(clear_left(kind), channels=1))
    assert abs(grey[0, 0, 0] - 1) < 0.01 and abs(grey[0, -1, 0] - 0.299) < 0.01


def test_a_grey_of_16_bits_that_stands_for_transparent() -> None:
    content = png(whole(RAMP, 16), 0, 16, transparent_key(65535))
    assert decoded(content, background=(0.0, 0.0, 1.0))[-1, -1].tolist() == [0, 0, 1]
    np.testing.assert_allclose(decoded(content, channels=1, background=(0.0, 0.0, 1.0))[-1, -1], 0.114, atol=1e-6)


def test_four_channels_are_taken_as_they_are() -> None:
    values = whole(np.concatenate([COLOURS, OPAQUE], -1), 8)
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(values), "PNG"), channels=4), values)
    fitted = decoded(saved(Image.fromarray(values), "PNG"), channels=4, size=(8, 8))
    np.testing.assert_array_equal(fitted, Fit().apply(values, 8))
    with pytest.raises(CorruptFile, match="a picture of 4 channels, got one of 3"):
        decoded(saved(Image.fromarray(values[..., :3]), "PNG"), channels=4)
    with pytest.raises(InvalidImages, match="a picture of 2 channels, got one of 1"):
        from_pillow(Image.fromarray(values[..., 0]), 2)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("channels", [2, 5, 7])
def test_a_tiff_of_many_channels(channels: int, apart: bool) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (9, 12, channels), np.uint16)
    content = by_tifffile(
        np.moveaxis(values, -1, 0) if apart else values,
        photometric="minisblack",
        planarconfig="separate" if apart else "contig",
        extrasamples=["unspecified"] * (channels - 1),
    )
    np.testing.assert_allclose(decoded(content, channels=channels), values / 65535, atol=1e-6)
    for wanted in (1, 3, 9):
        with pytest.raises(CorruptFile, match=f"a picture of {wanted} channels?, got one of {channels}"):
            decoded(content, channels=wanted)


OUT_OF_RANGE = {
    "floats to 255": lambda: tiff((RAMP * 255).astype("<f4").tobytes(), 32, sign=3),
    "floats around 0": lambda: tiff((RAMP * 4 - 2).astype("<f4").tobytes(), 32, sign=3),
    "NaN": lambda: tiff(np.full(RAMP.shape, np.nan, "<f4").tobytes(), 32, sign=3),
    "infinity": lambda: tiff(np.full(RAMP.shape, np.inf, "<f4").tobytes(), 32, sign=3),
    "negative": lambda: tiff((signed(16) - 5).astype("<i2").tobytes(), 16, sign=2),
    "negative, 32 bits": lambda: tiff((signed(32) - 5).astype("<i4").tobytes(), 32, sign=2),
    "16 bits in 32": lambda: tiff(whole(RAMP, 16).astype("<i4").tobytes(), 32, sign=2),
    "8 bits in 16": lambda: saved(Image.fromarray(whole(RAMP[..., 0], 8).astype(np.uint16)), "PNG"),
}


@pytest.mark.parametrize("kind", OUT_OF_RANGE)
def test_values_of_no_known_range_are_refused_with_the_way_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.tif"
    path.write_bytes(OUT_OF_RANGE[kind]())
    with pytest.raises(CorruptFile, match=r"odd.tif: expected .*, got values from .* Divide by the largest value"):
        decoded(path)
    with Image.open(path) as opened, pytest.raises(InvalidImages, match="picture: expected"):
        from_pillow(opened)


def test_a_dark_picture_of_12_bits_in_16_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "phosphene"):
        found = decoded(saved(Image.fromarray(whole(RAMP[..., 0], 12)), "PNG"), name="dark.png")
    np.testing.assert_allclose(found.max(), 4095 / 65535, rtol=1e-5)
    assert "dark.png: its largest value is 4095, and 65535 is white" in caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_it_was_taken(tmp_path: Path, kind: str, orientation: int) -> None:
    picture = Image.fromarray(CONTENT)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "turned"
    picture.save(path, kind, exif=exif, **options)
    steps = [(), (0,), (3,), (1,), (5,), (4,), (6,), (2,)][orientation - 1]
    for step in steps:
        picture = picture.transpose(Image.Transpose(step))
    close = 40 if kind == "JPEG" else 0
    assert np.abs(decoded(path).astype(int) - np.asarray(picture)).max() <= close
    assert np.abs(from_pillow(Image.open(path)).astype(int) - np.asarray(picture)).max() <= close


# -- JPEG at the size that is needed


def photograph_like(height: int, width: int) -> Any:
    random = np.random.default_rng(2)
    coarse = Image.fromarray(random.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("rule", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("extent", [(800, 1200), (803, 1197), (1205, 641)])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extent: tuple[int, int], orientation: int, rule: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph_like(*extent).save(tmp_path / "large.jpg", quality=92, exif=exif, subsampling=0)
    fit = Fit(rule, background=0.0)
    with Image.open(tmp_path / "large.jpg") as opened:
        truth = np.asarray(fit.apply(ImageOps.exif_transpose(opened).convert("RGB"), (64, 48)), np.float32)
    found = decoded(tmp_path / "large.jpg", size=(64, 48), fit=fit)
    difference = np.abs(found - truth)
    assert difference.mean() < 1 and np.quantile(difference, 0.99) < 5


def test_a_jpeg_is_never_decoded_below_three_times_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.JpegImagePlugin import JpegImageFile

    photograph_like(512, 512).save(tmp_path / "large.jpg")
    asked: list[tuple[int, int]] = []
    before = JpegImageFile.draft
    monkeypatch.setattr(JpegImageFile, "draft", lambda self, mode, size: asked.append(size) or before(self, mode, size))
    for size, fit in (
        (8, Fit()),
        (32, Fit()),
        (85, Fit()),
        (86, Fit()),
        (42, Fit(fraction=0.5)),
        (43, Fit(fraction=0.5)),
    ):
        assert decoded(tmp_path / "large.jpg", size=size, fit=fit).shape == (size, size, 3)
    assert decoded(tmp_path / "large.jpg").shape == (512, 512, 3)
    assert asked == [(64, 64), (128, 128), (256, 256), (256, 256)]


def test_a_jpeg_near_the_size_is_decoded_whole_to_the_bit(tmp_path: Path) -> None:
    photograph_like(320, 480).save(tmp_path / "near.jpg")
    with Image.open(tmp_path / "near.jpg") as opened:
        truth = np.asarray(ImageOps.fit(opened.convert("RGB"), (96, 96), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(decoded(tmp_path / "near.jpg", size=96), truth)
