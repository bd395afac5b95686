"""Pictures in files: their text, sizes and entries are checked before anything is made of them."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import phosphene as ph
from phosphene import errors
from result_instances import small_renders


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (('"seconds": 1.5', '"seconds": NaN'), "NaN is not a number of JSON"),
        (('"seconds": 1.5', '"seconds": 1e999'), "too large"),
        (('"seconds": 1.5', '"seconds": 1.5, "seconds": 1.5'), "'seconds' stands twice"),
        (('"seconds": 1.5', '"seconds": ' + "9" * 5000), "a number of 5,000 digits"),
        (('"seed": 3', '"seed": ' + "[" * 200 + "]" * 200), "nested deeper than 64"),
        (('"columns": 2', '"columns": 2.0'), "columns: expected an integer"),
        (
            ('"shape": [3, 12, 9, 3]', '"shape": [3, 12, 9, 1099511627776]'),
            "shape/3: expected a number from 1 to 1,048,576",
        ),
        (('"shape": [3, 12, 9, 3]', '"shape": [3, 12, 9]'), "shape: expected shape"),
        (('"shape": [3, 12, 9, 3]', '"shape": [3, 12, 9, 1]'), "do not fit its pixels"),
        (('"steps": [10.0', '"steps": [10.5'), "steps: expected an array of integers"),
        (('"steps": [10.0', '"steps": ["10"'), "steps: expected an array of integers"),
    ],
)
def test_the_text_of_a_picture_is_read_as_carefully_as_an_archive(
    tmp_path: Path, replaced: tuple[str, str], message: str
) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with Image.open(small_renders().save(tmp_path / "good.png")) as picture:
        text, info = picture.info["phosphene"], PngInfo()
        assert replaced[0] in text
        info.add_itxt("phosphene", text.replace(*replaced), zip=True)
        picture.save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(errors.CorruptFile, match=rf"x\.png: cannot be read as Renders: .*{message}"):
        ph.Renders.load(tmp_path / "x.png")


def test_a_picture_says_its_size_before_its_pixels_are_read(tmp_path: Path) -> None:
    path = small_renders().save(tmp_path / "x.png")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 9_000, 9_000)  # with the right checksum, and without such pixels
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    with pytest.raises(errors.CorruptFile, match="do not fit its pixels"):
        ph.Renders.load(path)


def test_what_is_not_finite_in_scores_and_settings_does_not_spoil_a_picture(tmp_path: Path) -> None:
    renders = small_renders()
    odd = replace(
        renders, scores={"cosine": np.array([0.5, np.nan, np.inf])}, settings={"loss": float("nan"), "a": [1.5]}
    )
    found = ph.Renders.load(odd.save(tmp_path / "x.png"))
    assert found.settings == {"loss": None, "a": [1.5]}
    np.testing.assert_array_equal(found.scores["cosine"], [0.5, np.nan, np.nan])


@pytest.mark.parametrize("ending", [".png", ".npz"])
def test_a_pipe_in_place_of_a_result_is_refused_at_once(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"x{ending}")
    with pytest.raises(errors.CorruptFile, match="a pipe or a device"):
        ph.Renders.load(tmp_path / f"x{ending}")


def test_an_entry_in_a_method_that_takes_memory_is_refused(tmp_path: Path) -> None:
    path = small_renders().save(tmp_path / "x.npz")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_LZMA) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(errors.CorruptFile, match="a method that NumPy does not use"):
        ph.Renders.load(tmp_path / "y.npz")
