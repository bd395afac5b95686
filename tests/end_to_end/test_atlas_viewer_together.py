"""Several atlases of the same images on one page: another model's, or that of a class."""

from __future__ import annotations

from pathlib import Path

import pytest

from phosphene.errors import InvalidParameter
from viewer_atlases import small_atlas
from viewer_pages import Opener


@pytest.fixture
def page(tmp_path: Path) -> Path:
    mine = small_atlas(tmp_path / "mine", layers=("late",))
    # Of another number of points, and of the first images only: as the atlas of a class would be.
    theirs = small_atlas(tmp_path / "theirs", layers=("deep",), points=600, seed=0)
    return mine.view(tmp_path / "page.html", beside={"other": theirs})


def test_a_cell_shows_where_its_images_lie_in_the_other_atlas(opener: Opener, page: Path) -> None:
    opened = opener(page)
    opened.page.get_by_role("button", name="Side by side").click()
    opened.settle()
    panels = [each["layer"] for each in opened.state()["panels"]]
    assert panels == ["late", "other · deep"]
    size = opened.level()
    for row, column in ((size // 2, size // 2), (size // 2 - 1, size // 2), (size // 2, size // 2 - 1)):
        opened.page.mouse.move(*opened.spot(row, column, size))
        opened.until(lambda: bool(opened.state()["hover"]))
        same = opened.state()["panels"][1]["same"]
        assert same and all(count >= 1 for _, count in same)
    opened.shot("together")


def test_other_classes_and_strange_names_are_refused(tmp_path: Path) -> None:
    mine = small_atlas(tmp_path / "mine", layers=("late",))
    other = small_atlas(tmp_path / "theirs", layers=("late",), classes=("day", "night"))
    with pytest.raises(InvalidParameter, match="beside: expected atlases with the same classes"):
        mine.view(tmp_path / "page.html", beside={"other": other})
    assert not (tmp_path / "page.html").exists()
