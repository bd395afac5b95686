"""``docs/atlas.md`` and ``docs/atlas-format.md`` are held against what a real atlas is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phosphene import atlas as room
from phosphene import errors
from phosphene.atlas import Atlas, steps
from phosphene.atlas.icons import IconSettings
from phosphene.atlas.sheets import FORMAT as SHEETS
from phosphene.store import manifest
from small_atlases import LAYERS, small_atlas

pytest.importorskip("zarr")
pytest.importorskip("sklearn")
DOCS = Path(__file__).parents[2] / "docs"
FORMAT = (DOCS / "atlas-format.md").read_text(encoding="utf-8")
GUIDE = (DOCS / "atlas.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return small_atlas(tmp_path_factory.mktemp("atlas"), texts=True)


def tables() -> dict[str, dict[str, tuple[int, str]]]:
    """By heading, arrays with their number of dimensions and dtype."""
    found = {}
    for section in re.split(r"^#{2,3} ", FORMAT, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `([^`]+)` \| \(([^|]*)\) \| (\w+) \|", section, flags=re.MULTILINE)
        for name in section.splitlines()[0].split(" and "):
            found[name.strip("`")] = {
                array: (len([side for side in shape.split(",") if side.strip()]), dtype) for array, shape, dtype in rows
            }
    return {name: rows for name, rows in found.items() if rows}


def plain(name: str) -> str:
    """A step's name as the page writes it."""
    for layer in sorted(LAYERS, key=len, reverse=True):
        name = re.sub(rf"\.{re.escape(layer)}(?=\.|$)", ".LAYER", name)
    return re.sub(r"LAYER\.\d+\.\d{4}$", "LAYER.SIZE.SHARD", name)


def told(array: np.ndarray[Any, Any]) -> tuple[int, str]:
    return array.ndim, "str" if array.dtype.kind == "U" else str(array.dtype)


def test_every_step_and_array_is_in_the_page_as_it_is(atlas: Atlas) -> None:
    documented = tables()
    found = {plain(name) for name in atlas.steps.names}
    assert found == documented.keys() - {"Points"}
    for name in atlas.steps.names:
        arrays = {re.sub(r"^\d+\.", "SIZE.", key): told(value) for key, value in atlas.steps.read(name).arrays.items()}
        assert arrays == documented[plain(name)], name


def test_every_array_of_the_points_is_in_the_page(atlas: Atlas) -> None:
    documented = tables()["Points"]
    for name, spec in atlas.store.manifest.arrays.items():
        assert documented[plain(name)] == (1 + len(spec.shape), spec.dtype)
    assert set(documented) - {plain(name) for name in atlas.store.names} == {"position.LAYER"}


def test_every_file_and_key_is_in_the_page(atlas: Atlas, tmp_path: Path) -> None:
    entry = json.loads((atlas.folder / "steps" / "layout.deep%2Fb.json").read_text())
    whole = json.loads((atlas.folder / "points" / "manifest.json").read_text())
    receipt = json.loads((atlas.folder / "points" / "shards" / "000000.json").read_text())
    index = json.loads(atlas.export_sheets(tmp_path).read_text())
    for key in [*entry, *whole, *receipt, *index, *index["layers"]["a"]["4"]]:
        assert f"`{key}`" in FORMAT, key
    assert (atlas.folder / "points" / "arrays" / "activation.deep%2fb").is_dir()
    assert {path.name for path in atlas.folder.iterdir()} == {"points", "steps"}


def test_the_versions_are_those_in_use_and_a_later_one_is_refused(tmp_path: Path) -> None:
    versions = re.findall(r"`format`(?: \(now| \|) (\d+)", FORMAT)
    assert [int(found) for found in versions] == [manifest.FORMAT, steps.FORMAT, SHEETS]
    atlas = small_atlas(tmp_path, icons=None)
    path = tmp_path / "steps" / "layout.a.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({**entry, "later": 1}))
    assert atlas.layout("a").points.shape == (600, 2)  # what is not known is passed over
    path.write_text(json.dumps({**entry, "format": steps.FORMAT + 1}))
    with pytest.raises(
        errors.OtherStore, match=r"written in format 2, .* reads formats up to 1. Install a later version"
    ):
        atlas.layout("a")


def test_the_way_without_phosphene_works(atlas: Atlas, capsys: pytest.CaptureFixture[str]) -> None:
    code = next(iter(re.findall(r"```python\n(.*?)```", FORMAT, flags=re.DOTALL)))
    assert "phosphene" not in code
    code = code.replace('"atlas", "stage3"', f'"{atlas.folder}", "a"')
    exec(compile(code, "atlas-format.md", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert float(first) < 1e-5 and second.startswith(f"({len(atlas.icons('a', 4))}, 12, 12, 3)")


@pytest.mark.parametrize("text", [GUIDE, FORMAT], ids=["atlas.md", "atlas-format.md"])
def test_links_and_pictures_are_there(text: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (DOCS / link).exists(), link
    for shown in re.findall(r"\]\((images/\S+)\)", text):
        assert (DOCS / shown).stat().st_size < 600_000


def test_settings_in_the_guide_are_those_of_the_code() -> None:
    found = re.findall(r"`(\w+Settings)\(([^)`]*)\)`", GUIDE)
    assert len(found) >= 8
    for name, values in found:
        defaults = vars(getattr(room, name, IconSettings)())
        for part in values.split(", "):
            key, _, value = part.partition("=")
            assert str(defaults[key]) == value.strip('"'), f"{name}.{key}"
