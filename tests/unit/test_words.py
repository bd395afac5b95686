"""Names that other people chose: nothing hidden, nothing reordered, long ones shortened."""

# ruff: noqa: RUF001  (letters of other scripts are the subject)

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from hostile_names import HOSTILE
from phosphene.errors import CorruptFile, InvalidParameter, ModelWarning, UnknownClass, UnknownLayer, UnwritablePath
from phosphene.kit.html import element, page
from phosphene.kit.progress import Progress, reporter
from phosphene.words import aligned, breadth, isolated, plain_message, plain_name, plain_text, shortened

UNSEEN = "\x00\x07\x1b\x7f\x85\x9b\u00ad\u034f\u061c\u115f\u180e\u200b\u200e\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u3164\ufeff"
UNSEEN += "\ufff9\U000e0041\ue000\ud800\udfff"


@pytest.mark.parametrize("letter", UNSEEN, ids=lambda letter: f"U+{ord(letter):04X}")
def test_what_cannot_be_seen_is_written_as_its_escape(letter: str) -> None:
    shown = plain_text(f"a{letter}b")
    escape = letter.encode("unicode_escape").decode()
    assert shown == f"a{escape}b"
    assert shown.encode()
    for error in (
        InvalidParameter("size", allowed="a number", received=f"x{letter}", fix=f"See {letter}."),
        UnknownLayer(f"stage{letter}", [f"stage1{letter}"], f"net{letter}"),
        UnknownClass(f"cat{letter}", [f"cat{letter}s", "dog"], 2),
        UnwritablePath(f"/out{letter}/p.png", "full"),
        CorruptFile(f"/in{letter}/p.npz", f"damaged {letter}"),
        ModelWarning(f"layer {letter} was left out"),
    ):
        assert letter not in str(error)
        assert str(error).encode()
    html = element("p", f"a{letter}b", title=f"c{letter}d", data_name=f"e{letter}f")
    assert letter not in html
    assert letter not in page(f"t{letter}", html)


def test_what_can_be_seen_is_left_alone() -> None:
    for text in (
        "cat",
        "crème brûlée",
        "猫",
        "a b",
        "naïve\u00a0name",
        "10\u202fAM",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d🔬",
    ):
        assert plain_text(text) == text
    # Between letters that do not join, a joiner only hides.
    assert plain_text("ca\u200dt") == r"ca\u200dt"
    assert plain_text("\u200ccat") == r"\u200ccat"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_messages_are_prepared_once_however_often(name: str) -> None:
    once = plain_message(name)
    assert plain_message(once) == once
    assert isolated(plain_name(name)) == plain_name(name)


def test_right_to_left_names_are_isolated_each_for_itself() -> None:
    assert isolated("כלב 0.93") == "\u2068כלב\u2069 0.93"
    assert isolated("כלב גדול (חום) 3: קטה, דג") == "\u2068כלב גדול (חום)\u2069 3: \u2068קטה\u2069, \u2068דג\u2069"
    assert isolated("cat 0.93") == "cat 0.93"
    error = str(UnknownClass("xyz", ["כלב", "قطة"], 2))
    assert "\u2068כלב\u2069, \u2068قطة\u2069" in error
    # The isolate of another is a character of the name.
    assert plain_message("a\u2068b\u2069 \u2067כלב\u2069") == "a\\u2068b\\u2069 \\u2067\u2068כלב\u2069\\u2069"


def test_pages_isolate_by_elements_and_titles_by_characters() -> None:
    assert element("td", "כלב 0.93 <b>") == "<td><bdi>כלב</bdi> 0.93 &lt;b&gt;</td>"
    assert element("title", "כלב 0.93") == "<title>\u2068כלב\u2069 0.93</title>"
    assert element("text", "כלב 0.93") == "<text>\u2068כלב\u2069 0.93</text>"
    assert element("img", alt="כלב 0.93", data_name="כלב") == '<img alt="\u2068כלב\u2069 0.93" data-name="כלב">'


def test_names_are_shortened_in_their_middle_and_never_within_a_letter() -> None:
    assert shortened("layer4.block.conv2", 9) == "laye…onv2"
    assert shortened("short", 5) == "short"
    assert shortened("猫" * 10, 8) == "猫猫…猫"
    for name in HOSTILE.values():
        plain = plain_text(name)
        for most in (1, 2, 7, 30):
            short = shortened(plain, most)
            assert breadth(short) <= most or short == "…"
            head, _, tail = short.partition("…")
            assert short == plain or not tail or not unicodedata.combining(tail[0])
            assert short == plain or (plain.startswith(head) and plain.endswith(tail))


def test_columns_of_tables_line_up_whatever_the_names() -> None:
    column = aligned([*HOSTILE.values(), "cat"], 20)
    assert {breadth(name) for name in column} == {20}
    assert not any("\n" in name or "\x1b" in name for name in column)


def test_progress_shows_names_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phosphene.kit.progress.EVERY", 0.0)
    with reporter(True, "layer [/]\x1b[31m\n", 4) as tell:
        tell(Progress(1, 4, "steps", 1.0, "at כלב\u202e"))
    said = capsys.readouterr().err
    assert r"layer [/]\x1b[31m\n: 25%" in said
    assert "(at \u2068כלב\u2069\\u202e)" in said


def test_bars_read_no_markup_in_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with reporter(None, "block[/0] [bold]x[/bold]\x1b", 4) as tell:
        tell(Progress(1, 4, "steps", 1.0, "[/red]"))
    assert "block[/0] [bold]x[/bold]\\x1b" in capsys.readouterr().err


def test_the_command_line_prints_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from phosphene.cli.options import say

    say("layer \x1b[31mred\x9b\nכלב 0.9\ud800")
    assert capsys.readouterr().out == "layer \\x1b[31mred\\x9b\n\u2068כלב\u2069 0.9\\ud800\n"


def test_a_terminal_of_few_letters_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch, phosphene as ph\n"
        "class Net(torch.nn.Sequential): pass\n"
        "def make():\n"
        "    net = Net()\n"
        "    net.add_module('猫\\x1b[31m', torch.nn.Conv2d(3, 4, 3))\n"
        "    return ph.wrap(net, size=8)\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-m", "phosphene", "layers", "mine:make"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert rb"\u732b\x1b[31m" in ran.stdout
