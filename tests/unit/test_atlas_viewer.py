"""The page of an atlas as a file: its policy, what it carries, what lies beside it, and what is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas import Atlas
from phosphene.atlas.viewer import view
from phosphene.atlas.viewer.cell_pictures import category_colours
from phosphene.atlas.viewer.columns import gather
from phosphene.atlas.viewer.nearness import nearest_cells
from phosphene.atlas.viewer.payload import Block, part
from phosphene.atlas.viewer.sprites import cropped, lay
from viewer_atlases import small_atlas, with_patches

pytest.importorskip("zarr")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return small_atlas(tmp_path_factory.mktemp("atlas"), classes=("sun", "</script><b>", "stone"), levels=(4, 8))


def element(page: str, kind: str, name: str = "") -> str:
    found = re.search(f"<{kind}{name}>(.*?)</{kind}>", page, re.DOTALL)
    assert found is not None
    return found[1]


def manifest_of(page: str) -> Any:
    return json.loads(element(page, "script", ' type="application/json" id="manifest"'))


def columns_of(page: str, index: int) -> dict[str, np.ndarray]:
    facts = manifest_of(page)["layers"][index]
    text = element(page, "script", f' type="application/octet-stream" id="{facts["data"]}"')
    content = gzip.decompress(base64.b64decode(text))
    return {name: np.frombuffer(content, kind, count, offset) for name, kind, offset, count in facts["columns"]}


def test_the_policy_allows_its_own_script_and_style_and_nothing_else(atlas: Atlas, tmp_path: Path) -> None:
    page = atlas.view(tmp_path / "page.html").read_text()
    digest = {
        kind: base64.b64encode(hashlib.sha256(element(page, kind).encode()).digest()).decode()
        for kind in ("script", "style")
    }
    wanted = (
        f"default-src 'none'; script-src 'sha256-{digest['script']}'; style-src 'sha256-{digest['style']}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert f'<meta http-equiv="Content-Security-Policy" content="{wanted}">' in page
    assert page.count("<script>") == 1 and not re.search(
        r"\son\w+=|style=|https?://", element(page, "body").split("<script")[0]
    )
    assert "\\u003c/script>" in page and manifest_of(page)["classes"][1] == "</script><b>"


def test_columns_say_what_the_atlas_says(atlas: Atlas, tmp_path: Path) -> None:
    page = atlas.view(tmp_path / "page.html", layers=["late"]).read_text()
    columns, level, facts = columns_of(page, 0), atlas.grid("late").level(8), manifest_of(page)["layers"][0]
    assert [layer["name"] for layer in manifest_of(page)["layers"]] == ["late"]
    cells = list(zip(columns["8.row"], columns["8.column"], strict=True))
    assert sorted(cells) == sorted(tuple(cell) for cell in level.cells[level.kept].tolist())
    place = {tuple(cell): number for number, cell in enumerate(level.cells.tolist())}
    order = [place[int(row), int(column)] for row, column in cells]
    np.testing.assert_array_equal(columns["8.count"], level.counts[order])
    np.testing.assert_allclose(columns["8.recall"] / 1000, atlas.cell_measures("late", 8)["recall"][order], atol=6e-4)
    labels, icons = atlas.labels("late", 8), atlas.icons("late", 8)
    starts = columns["8.groups"]
    for number, cell in enumerate(order):
        mine = np.flatnonzero(level.group_cells == cell)
        assert starts[number + 1] - starts[number] == min(4, len(mine))
        largest = mine[np.argmax(np.diff(level.group_starts)[mine])]
        np.testing.assert_allclose(columns["8.group.margin"][starts[number]], labels.margin[largest], rtol=1e-6)
        own = np.flatnonzero(icons.groups == largest)[0]
        np.testing.assert_allclose(columns["8.group.fidelity"][starts[number]], icons.fidelity[own], rtol=1e-6)
    step, inside = facts["scale"] // 8, ~atlas.grid("late").outliers
    seen = np.stack([columns["y"] // step, columns["x"] // step], axis=1)[inside]
    np.testing.assert_array_equal(seen, level.cells[level.cell_of[inside]])
    assert (columns["x"][~inside] == 65535).all()
    assert facts["levels"][1]["clusters"][0][0] == atlas.clusters("late", 8).names[0]


def test_nearest_cells_by_the_cosine_of_their_means() -> None:
    means = np.array([[1, 0], [2, 0.2], [0, 1], [-1, 0.1]], np.float32)
    assert nearest_cells(means, 2).tolist() == [[1, 2], [0, 2], [1, 3], [2, 1]]
    assert nearest_cells(means[:2], 3).tolist() == [[1, 2, 2], [0, 2, 2]]
    assert nearest_cells(means[:1]).tolist() == [[1] * 6]


def test_pictures_are_cut_to_their_centre_and_laid_in_rows() -> None:
    images = np.arange(2 * 8 * 10, dtype=np.uint8).reshape(2, 8, 10, 1)
    made = cropped(images, 0.5)
    assert made.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(made[..., 1], images[:, 2:6, 3:7, 0])
    assert cropped(np.zeros((1, 200, 200, 2), np.uint8), 1.0).shape == (1, 80, 80, 3)
    sheet = lay(np.repeat(made, 3, axis=0)[:5], 2)
    assert sheet.shape == (12, 8, 3) and (sheet[8:, 4:] == 128).all()
    np.testing.assert_array_equal(sheet[4:8, 4:], made[1])


def test_patches_fill_in_for_icons_that_there_are_not(tmp_path: Path) -> None:
    bare = with_patches(small_atlas(tmp_path / "atlas", layers=("a",), levels=(4,), icons=False))
    found = gather(bare, "a", 0, 1.0)
    assert (found.columns["4.kind"] == 2).all() and found.facts["patches"]["across"] == 20
    assert {sheet.name for sheet in found.sheets} == {"icon-4-0-0", "patch-0-0"}
    assert found.columns["4.group.patch"].max() <= 50


def test_colours_of_categories_differ_until_they_come_again() -> None:
    colours = category_colours(np.arange(-1, 42))
    assert (colours[0] == 128).all()
    assert len({tuple(colour) for colour in colours[1:22].tolist()}) == 21
    np.testing.assert_array_equal(colours[22:], colours[1:22])


def test_cells_without_pictures_have_the_colour_of_their_class_or_region(tmp_path: Path) -> None:
    bare = small_atlas(tmp_path / "bare", layers=("a",), levels=(4,), icons=False)
    found = gather(bare, "a", 0, 1.0)
    labels, level = bare.labels("a", 4), bare.grid("a").level(4)
    assert found.facts["levels"][0]["colours"] == "class" and not found.columns["4.kind"].any()
    for row, column, colour in zip(
        found.columns["4.row"], found.columns["4.column"], found.columns["4.colour"], strict=True
    ):
        (cell,) = np.flatnonzero((level.cells == (row, column)).all(axis=1))
        groups = np.flatnonzero(level.group_cells == cell)
        largest = groups[np.argmax(np.diff(level.group_starts)[groups])]
        wanted = labels.classes[largest][0] if labels.claimed[largest] else -1
        np.testing.assert_array_equal(colour, category_colours(np.array([wanted]))[0])
    region = gather(small_atlas(tmp_path / "none", layers=("a",), levels=(4,), labels=False, icons=False), "a", 0, 1.0)
    assert region.facts["levels"][0]["colours"] == "region"
    np.testing.assert_array_equal(region.columns["4.colour"], category_colours(region.columns["4.cluster"]))
    pictured = gather(small_atlas(tmp_path / "icons", layers=("a",), levels=(4,)), "a", 0, 1.0)
    assert "colours" not in pictured.facts["levels"][0]


def test_what_does_not_fit_leaves_the_page_last_wanted_first() -> None:
    blocks = [
        Block("data", "x" * 500, 0),
        Block("fine", "x" * 300, 102),
        Block("coarse", "x" * 300, 100),
        Block("patch", "x", 200),
    ]
    inside, beside = part(blocks, 1000)
    assert [block.name for block in inside] == ["data", "coarse"] and [block.name for block in beside] == [
        "fine",
        "patch",
    ]
    inside, beside = part(blocks, 10)
    assert [block.name for block in inside] == ["data"]


def test_files_of_an_earlier_page_are_taken_away(atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, folder = tmp_path / "page.html", tmp_path / "page.html.files"
    folder.mkdir()
    for name in ("icon-8-0-0-0123456789.js", "mine.js"):
        (folder / name).write_text("")
    atlas.view(page)
    assert [path.name for path in folder.iterdir()] == ["mine.js"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": ["lat"]}, "Did you mean 'late'"),
        ({"layers": []}, "distinct layers with a map"),
        ({"layers": ["late", "late"]}, "distinct layers with a map"),
        ({"max_mb": 0}, "max_mb: expected a number of at least 1"),
        ({"max_mb": "25"}, "max_mb"),
        ({"max_mb": float("nan")}, "max_mb"),
        ({"crop": 0}, "crop: expected a number above 0 and at most 1"),
        ({"crop": 40}, "crop"),
        ({"crop": {"lat": 1}}, "crop"),
        ({"title": " "}, "title"),
    ],
)
def test_bad_input_leaves_nothing(atlas: Atlas, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=said):
        view(atlas, tmp_path / "page.html", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_atlas_without_a_map_and_a_place_that_cannot_be_written(atlas: Atlas, tmp_path: Path) -> None:
    bare = Atlas.from_activations(np.ones((5, 3)), tmp_path / "bare")
    with pytest.raises(errors.InvalidParameter, match=r"phosphene\.atlas\.chart"):
        bare.view(tmp_path / "page.html")
    with pytest.raises(errors.UnwritablePath):
        atlas.view(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare"]


def test_the_same_atlas_gives_the_same_page(atlas: Atlas, tmp_path: Path) -> None:
    pages = [atlas.view(tmp_path / name / "page.html").read_bytes() for name in "ab"]
    assert pages[0] == pages[1]
