"""The figures of an atlas in one place, its page, and its icons as sheets."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phosphene import errors
from phosphene.atlas import Atlas
from phosphene.atlas.figure import PictureSettings, cell_icons, cropped, map_picture, seen_part
from phosphene.atlas.page import atlas_report_page
from phosphene.atlas.report import report_of
from phosphene.atlas.sheets import export_sheets, pack
from phosphene.atlas.summary import summarise
from phosphene.kit.charts import histogram
from small_atlases import CLASSES, LAYERS, small_atlas

pytest.importorskip("zarr")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return small_atlas(tmp_path_factory.mktemp("atlas"))


def test_the_figures_are_those_of_the_parts(atlas: Atlas) -> None:
    found = summarise(atlas)
    assert (found.points, found.images, found.identity) == (600, 600, atlas.identity)
    assert [each.layer for each in found.layers] == list(LAYERS)
    for each in found.layers:
        measures = atlas.measures(each.layer)
        assert (each.trustworthiness, each.recall) == (measures.trustworthiness, measures.recall)
        assert each.recall_chance == pytest.approx(10 / 599) and each.exact
        assert each.condition == atlas.whitening(each.layer).condition <= each.raw_condition
        assert list(each.stretch) == sorted(each.stretch) and each.stretch[2] == pytest.approx(0, abs=1e-6)
        for figures in each.levels:
            level, icons = atlas.grid(each.layer).level(figures.size), atlas.icons(each.layer, figures.size)
            assert (figures.cells, figures.used) == (len(level.counts), level.kept.sum())
            assert figures.points == pytest.approx(level.counts[level.kept].sum() / 600)
            assert figures.icons is not None and figures.icons.icons == len(icons)
            assert figures.icons.fidelity == pytest.approx(np.median(icons.fidelity))
            assert figures.icons.own_nearest <= figures.icons.own_in_five <= 1
            assert figures.clusters == len(atlas.clusters(each.layer, figures.size).names)
            assert figures.labels is not None and 0 <= figures.labels.claimed <= 1


def test_icons_are_held_to_the_halves_of_their_own_cells(atlas: Atlas) -> None:
    figures = summarise(atlas).layers[0].level(4).icons
    level, icons = atlas.grid("a").level(4), atlas.icons("a", 4)
    halves = atlas.cell_measures("a", 4)["split_half"]
    reached = []
    for group, fidelity in zip(icons.groups, icons.fidelity, strict=True):
        cell = level.group_cells[group]
        if (level.group_cells == cell).sum() == 1 and np.isfinite(halves[cell]):
            reached.append(fidelity >= halves[cell])
    assert figures is not None and figures.compared == len(reached) > 0
    assert figures.at_split_half == pytest.approx(np.mean(reached))


def test_the_figures_are_plain_json(atlas: Atlas, tmp_path: Path) -> None:
    found = summarise(atlas)
    again = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert again["layers"][0]["levels"][0]["size"] == 4
    layer = replace(found.layers[0], condition=float("inf"), stretch=(float("nan"),) * 5)
    assert replace(found, layers=(layer,)).plain()["layers"][0]["condition"] is None
    assert summarise(small_atlas(tmp_path / "bare", charted=False)).layers == ()
    without = summarise(small_atlas(tmp_path / "plain", icons=None))
    assert without.layers[0].levels[0].icons is None


def test_the_page_says_all_and_loads_nothing(atlas: Atlas, tmp_path: Path) -> None:
    text = atlas.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link", text)
    assert "default-src 'none'" in text
    found = report_of(atlas)
    assert found.layers[0].size == 8 and len(found.carried) == 1
    for layer in LAYERS:
        assert f"The map of {layer}" in text
        assert f"{atlas.measures(layer).trustworthiness:.3f}" in text
    assert all(name in text for name in CLASSES)
    assert text.count("<svg") == 4 and text.count('role="img"') == 4
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", text))
    assert f"{found.carried[0].mutual_information:.2f}" in text
    worst = found.layers[0].unfaithful
    assert [cell.fidelity for cell in worst] == sorted(cell.fidelity for cell in worst)
    assert worst[0].fidelity == pytest.approx(
        atlas.icons("a", 8).fidelity[cell_icons(atlas.grid("a").level(8), atlas.icons("a", 8))].min(), abs=0.01
    )


def test_names_on_the_page_are_escaped(atlas: Atlas) -> None:
    found = report_of(atlas, size=4)
    layer = found.layers[0]
    evil = replace(layer.regions[0], name="<script>alert(1)</script>", claimed=True)
    text = atlas_report_page(replace(found, layers=(replace(layer, regions=(evil,), places=(evil,)),)))
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_a_page_of_what_is_there(tmp_path: Path) -> None:
    bare = small_atlas(tmp_path / "no icons", icons=None)
    text = bare.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No icons were drawn" in text and "Icon fidelity" not in text
    with pytest.raises(errors.InvalidParameter, match=r"path: expected a file name that ends in \.html"):
        bare.report(tmp_path / "report.pdf")
    with pytest.raises(errors.InvalidParameter, match="size"):
        bare.report(tmp_path / "other.html", size=5)
    uncharted = small_atlas(tmp_path / "uncharted", charted=False)
    with pytest.raises(errors.InvalidParameter, match="atlas: expected an atlas with a map"):
        uncharted.report(tmp_path / "other.html")
    with pytest.raises(errors.UnwritablePath):
        bare.report(tmp_path / "report.html" / "below.html")
    assert not (tmp_path / "other.html").exists()


def test_a_map_has_its_icons_in_their_cells(atlas: Atlas) -> None:
    grid = atlas.grid("a")
    level, icons = grid.level(4), atlas.icons("a", 4)
    drawn = map_picture(grid.points, level, icons, PictureSettings(cell=20, crop=1.0))
    assert drawn.shape == (80, 80, 4) and drawn.dtype == np.uint8
    chosen = cell_icons(level, icons)
    for cell, (row, column) in enumerate(level.cells.tolist()):
        middle = drawn[row * 20 + 10, column * 20 + 10]
        assert (middle[3] == 255) == (chosen[cell] >= 0)
    # The largest group stands for a cell.
    sizes = np.diff(level.group_starts)
    for cell, icon in enumerate(chosen.tolist()):
        own = [group for group in icons.groups.tolist() if level.group_cells[group] == cell]
        assert not own or sizes[icons.groups[icon]] == max(sizes[own])
    alone = map_picture(grid.points, level, None, PictureSettings(cell=20))
    assert 0 < (alone[..., 3] > 0).mean() < 1
    with pytest.raises(errors.InvalidParameter, match="crop: expected a number above 0 and at most 1, got 0"):
        PictureSettings(crop=0)


def test_what_an_icon_shows_is_measured() -> None:
    images = np.full((3, 64, 64, 3), 127, np.uint8)
    images[:, 24:40, 24:40] = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3))
    assert 0.26 < seen_part(images) < 0.4
    assert seen_part(images[:, :, :, :] * 0) == 1.0
    assert cropped(images, 0.5).shape == (3, 32, 32, 3)
    assert seen_part(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)) > 0.95


def test_a_histogram_counts_what_is_outside_as_well() -> None:
    text = histogram(np.array([-9.0, 0.1, 0.1, 9.0]), span=(0, 1), bins=2, description="four values")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)"', text)]
    assert len(heights) == 2 and heights[0] == pytest.approx(3 * heights[1], rel=0.01)
    assert 'aria-label="four values"' in text
    assert "rect" not in histogram(np.zeros(0), span=(0, 1), description="nothing")


@pytest.mark.parametrize(("count", "side", "sheets"), [(0, 64, 0), (1, 64, 1), (16, 64, 1), (17, 64, 2), (7, 30, 7)])
def test_images_are_packed_and_found_again(count: int, side: int, sheets: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    packed, places = pack(images, side)
    assert len(packed) == sheets and places.shape == (count, 3)
    assert all(max(sheet.shape[:2]) <= side for sheet in packed)
    for image, (sheet, left, top) in zip(images, places.tolist(), strict=True):
        np.testing.assert_array_equal(packed[sheet][top : top + 16, left : left + 16], image)


def test_images_that_cannot_be_packed() -> None:
    images = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(errors.InvalidParameter, match="side: expected at least 16, since an icon has 16 x 16 pixels"):
        pack(images, 15)
    with pytest.raises(errors.InvalidParameter, match=r"images: expected a uint8 array of shape \(N, H, W, C\)"):
        pack(images.astype(np.float32))
    with pytest.raises(errors.InvalidParameter, match="side"):
        pack(images, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_sheets_hold_every_icon_where_the_index_says(tmp_path: Path, channels: int) -> None:
    from PIL import Image

    atlas = small_atlas(tmp_path / "atlas", channels=channels)
    index = export_sheets(atlas, tmp_path / "sheets", side=40) if channels == 3 else atlas.export_sheets(tmp_path / "s")
    found = json.loads(index.read_text())
    assert found["format"] == 1 and found["atlas"] == atlas.identity and found["classes"] == list(CLASSES)
    assert list(found["layers"]) == list(LAYERS)
    for layer, levels in found["layers"].items():
        assert list(levels) == ["4", "8"]
        for size, entry in levels.items():
            icons, level = atlas.icons(layer, int(size)), atlas.grid(layer).level(int(size))
            files = [np.asarray(Image.open(index.parent / name)) for name in entry["sheets"]]
            height, width = entry["icon"]
            assert entry["groups"] == icons.groups.tolist() and (len(files) > 1) == (channels == 3)
            assert all(max(file.shape[:2]) <= (40 if channels == 3 else 2048) for file in files)
            for row, (sheet, left, top) in enumerate(entry["places"]):
                seen = files[sheet][top : top + height, left : left + width]
                np.testing.assert_array_equal(seen.reshape(height, width, channels), icons.images[row])
                group = icons.groups[row]
                assert entry["cells"][row] == level.cells[level.group_cells[group]].tolist()
                assert entry["points"][row] == len(level.members_of_group(int(group)))


def test_sheets_that_cannot_be(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParameter, match=r"layers: expected 'a' or 'deep/b', got 'deep/c'. Did you mean"):
        export_sheets(atlas, tmp_path / "sheets", layers=["deep/c"])
    with pytest.raises(errors.InvalidParameter, match="side: expected at least 12"):
        export_sheets(atlas, tmp_path / "sheets", side=8)
    assert not (tmp_path / "sheets" / "index.json").exists()
    bare = small_atlas(tmp_path / "bare", icons=None)
    with pytest.raises(errors.InvalidParameter, match="layers: expected a layer with icons, got none"):
        bare.export_sheets(tmp_path / "sheets")
    (tmp_path / "file").write_bytes(io.BytesIO().getvalue())
    with pytest.raises(errors.UnwritablePath):
        atlas.export_sheets(tmp_path / "file")
    strange = small_atlas(tmp_path / "strange", channels=2)
    with pytest.raises(
        errors.InvalidParameter, match=r"atlas: expected icons with 1 or 3 channels \(grey or colour\), got 2 channels"
    ):
        strange.export_sheets(tmp_path / "two")
