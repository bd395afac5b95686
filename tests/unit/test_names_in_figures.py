"""Figures whose names are formulas, controls, other scripts or far too long: drawn as they are, without a warning of matplotlib."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostile_names import HOSTILE, renamed
from phosphene.errors import PhospheneWarning
from phosphene.kit import figures
from phosphene.kit.figures import figure_bytes, figure_class, finished, fitted, legend
from phosphene.words import plain_text
from result_instances import every_result

pytest.importorskip("matplotlib")

DRAWN = {name: result for name, result in every_result().items() if ".png" in result.endings}
PLAIN = [name for name in HOSTILE if name not in ("Chinese", "emoji", "wide", "combining", "Arabic")]
"""Names whose letters are in the font that matplotlib brings."""


@pytest.fixture(autouse=True)
def fonts_forgotten() -> Iterator[None]:
    figures._fonts_with.cache_clear()
    yield
    figures._fonts_with.cache_clear()


@pytest.mark.parametrize(
    "what", ["attribution", "comparison", "used concept", "parity", "signals", "cards", "features", "units"]
)
def test_every_figure_is_drawn_with_a_formula_for_a_name(what: str) -> None:
    figure = renamed(DRAWN[what], HOSTILE["markup of formulas"]).plot()
    assert figure_bytes(figure, "png").startswith(b"\x89PNG")
    assert any("$" in text for text in texts(figure))


@pytest.mark.slow
@pytest.mark.parametrize("what", DRAWN)
@pytest.mark.parametrize("name", PLAIN)
def test_every_figure_is_drawn_with_every_name(name: str, what: str, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # of nothing but an empty figure
        figure = renamed(DRAWN[what], HOSTILE[name]).plot()
        for kind in ("png", "svg", "pdf"):
            assert figure_bytes(figure, kind)
    assert not caplog.records
    for text in texts(figure):
        assert text.encode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]", text)


def test_a_name_is_shown_with_all_its_signs() -> None:
    for name in (r"$x^2$", "a_b", "50% off {now}", "C:\\new", "$5", r"\$5", "a $ b $ c"):
        figure = figure_class()()
        axis = figure.subplots()
        axis.plot([0, 1], label="0")
        axis.set_title(name)
        axis.set_xticks([0], [name])
        legend(axis, [name])
        finished(figure)
        figure_bytes(figure, "svg")
        assert texts(figure).count(name) >= 3  # a tick has a label on either side
        assert not any(text.get_parse_math() for text in shown(figure) if text.get_text() == name)


def test_numbers_of_axes_stay_as_matplotlib_writes_them() -> None:
    figure = figure_class()()
    axis = figure.subplots()
    axis.semilogy([0, 1], [1e-3, 1e3])
    plain = figure_bytes(figure, "png")
    finished(figure)
    assert figure_bytes(figure, "png") == plain


def test_a_class_that_begins_with_an_underscore_is_in_the_legend() -> None:
    embedding: Any = DRAWN["embedding"]
    figure = embedding.plot(np.array(["_hidden", "a", "a", "$b$", "c"]))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["$b$", "_hidden", "a", "c"]


def test_names_side_by_side_do_not_run_into_each_other() -> None:
    long = HOSTILE["long"]
    figure = renamed(DRAWN["attribution"], long).plot()
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in figure.axes if "…" in axis.get_title()]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_a_shortened_name_keeps_both_ends() -> None:
    short = fitted("features.denseblock4.denselayer16.conv2", 1.5, 8)
    assert short.startswith("features.")
    assert short.endswith("conv2")
    assert "…" in short
    assert fitted("conv2", 1.5, 8) == "conv2"
    assert fitted("x" * 100, 0.0, 8) == "xx…xx"


def test_letters_are_drawn_by_a_font_of_the_system_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = tiny_font(tmp_path / "Tiny-Regular.ttf", "\U0001f996")  # in no font of the tests' machine
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(font)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = titled("rex \U0001f996")
        assert figure_bytes(figure, "png")
    (title,) = (text for text in shown(figure) if "rex" in text.get_text())
    assert title.get_text() == "rex \U0001f996"
    assert "Tiny" in title.get_fontfamily()


def test_letters_that_no_font_has_are_drawn_as_escapes_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", list)
    monkeypatch.setattr(figures, "_letters", lambda path: frozenset(map(chr, range(32, 0x3000))))
    with pytest.warns(PhospheneWarning, match=r"no installed font has 猫 \(U\+732B\)"):
        figure = titled("猫 cat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = titled("猫 dog")
        assert figure_bytes(again, "png")
    assert r"\u732b cat" in texts(figure)
    assert r"\u732b dog" in texts(again)


def test_a_damaged_font_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"\x00\x01\x00\x00 nothing")
    assert figures._letters(str(tmp_path / "broken.ttf")) == frozenset()


def titled(text: str) -> Any:
    figure = figure_class()()
    figure.subplots().set_title(plain_text(text))
    return finished(figure)


def shown(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_text()]


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in shown(figure)]


def tiny_font(path: Path, letter: str) -> Path:
    """Write a font that has one letter, a square."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 500), (500, 500), (500, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (600, 0), "square": (600, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Tiny", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path
