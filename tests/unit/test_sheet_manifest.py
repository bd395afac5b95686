"""The manifest of a folder of pictures: its batches hold its units, each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phosphene.errors import CorruptFile, OtherStore
from phosphene.sheet.batches import Manifest

IDENTITY: dict[str, Any] = {"layer": "a", "units": [3, 1, 4, 5, 9], "batch": 2}


def changed(folder: Path, **changes: Any) -> Path:
    Manifest.at(folder, IDENTITY).written()
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


@pytest.mark.parametrize(
    "batches",
    [
        [[3, 1], [4, 5]],
        [[3, 1], [4, 5], [9], [9]],
        [[3, 1], [4, 5], [8]],
        [[1, 3], [4, 5], [9]],
        [[3, 1, 4], [5, 9]],
        [[3, 1], [], [4, 5], [9]],
        [[3, 1], [4, 5], [9.0]],
        [[3, 1], [4, "5"], [9]],
        [[3, 1], [4, 5], [True]],
        [[3, 1], [4, 5], -9],
        {"3": 1},
        None,
    ],
)
def test_batches_hold_every_unit_once(tmp_path: Path, batches: Any) -> None:
    path = changed(tmp_path, batches=batches)
    with pytest.raises(CorruptFile, match=r"manifest\.json: damaged.* Delete it to divide the units into batches anew"):
        Manifest.at(tmp_path, IDENTITY)
    path.unlink()
    assert [batch.channels for batch in Manifest.at(tmp_path, IDENTITY).batches] == [(3, 1), (4, 5), (9,)]


def test_halved_batches_of_the_same_units_are_read(tmp_path: Path) -> None:
    changed(tmp_path, batches=[[3, 1], [4], [5], [9]], later="passed over")
    assert len(Manifest.at(tmp_path, IDENTITY).batches) == 4


def test_other_pictures_and_later_formats_are_told(tmp_path: Path) -> None:
    changed(tmp_path)
    with pytest.raises(OtherStore, match="its layer is 'a', this run has 'b'"):
        Manifest.at(tmp_path, {**IDENTITY, "layer": "b"})
    changed(tmp_path, format=2)
    with pytest.raises(OtherStore, match="written in format 2"):
        Manifest.at(tmp_path, IDENTITY)
