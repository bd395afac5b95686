"""Documents: regular files of bounded size, JSON without what its grammar forbids, and fields as they are declared."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from phosphene import errors
from phosphene.kit.documents import json_from, read_document, read_json
from phosphene.kit.records import Between

ODD = {
    "not a number": "[NaN]",
    "infinity": '{"a": -Infinity}',
    "too large a number": "[1e999]",
    "a number of a million digits": "[" + "7" * 1_000_000 + "]",
    "a fraction of a million digits": "[0." + "7" * 1_000_000 + "]",
    "a key twice": '{"a": 1, "b": {"c": 1, "c": 1}}',
    "too deep for Python": "[" * 100_000 + "]" * 100_000,
    "too deep for whoever reads it": "[" * 70 + "]" * 70,
    "half a character": '["\\ud800"]',
    "two documents": "{} {}",
    "nothing": "",
    "not text": b"\xff\xfe",
}


@pytest.mark.parametrize("name", ODD)
def test_what_python_reads_and_json_is_not_is_refused(tmp_path: Path, name: str) -> None:
    content = ODD[name]
    (tmp_path / "x.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(errors.CorruptFile, match=r"x\.json: damaged, or not JSON .*Save it again\.") as raised:
        read_json(tmp_path / "x.json", fix="Save it again.")
    assert len(str(raised.value)) < 600


def test_plain_documents_pass(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    text = '{"a": [1, 2.5, "ü \\ud83d\\ude00", null, true], "b": {"c": 100000000000000000000}}'
    assert json_from(text) == {"a": [1, 2.5, "ü \U0001f600", None, True], "b": {"c": 10**20}}
    assert json_from("[" * 64 + "1" + "]" * 64) == deep
    assert json_from("[NaN]", finite=False)[0] != 0


def fifo(path: Path) -> None:
    os.mkfifo(path)


def circle(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("make", [fifo, circle, device, sparse, Path.mkdir])
def test_what_is_no_file_or_never_ends_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(errors.CorruptFile):
        read_json(tmp_path / "x")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("[1]")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    assert read_json(tmp_path / "y") == [1]
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "z")


@dataclass(frozen=True)
class Ruler:
    length: Annotated[int, Between(1, 9)]
    marks: tuple[float, ...]
    name: str | None = None

    added: ClassVar[tuple[str, ...]] = ("name",)


@dataclass(frozen=True)
class LaterRuler(Ruler):
    open_ended: ClassVar[bool] = True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "length": 10, "marks": []}', "length: expected a number from 1 to 9, got 10"),
        ('{"format": 1, "length": true, "marks": []}', "length: expected an integer, got True"),
        ('{"format": 1, "length": 1, "marks": [1, "2"]}', "marks/1: expected a number, got '2'"),
        ('{"format": 1, "length": 1}', "marks: a field that is missing"),
        ('{"format": 1, "length": 1, "marks": [], "color": 1}', "color: a field that is unknown"),
        ('{"format": 0, "length": 1, "marks": []}', "its format is 0"),
        ('{"format": "1", "length": 1, "marks": []}', "its format is '1'"),
        ('{"length": 1, "marks": []}', "format"),
        ("[]", "damaged, or not a ruler"),
    ],
)
def test_fields_are_what_they_declare(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(errors.CorruptFile, match=message):
        read_document(tmp_path / "x", Ruler, newest=1, what="a ruler")


def test_earlier_and_later_documents(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"format": 2, "length": 3, "marks": [1], "name": "a"}')
    assert read_document(tmp_path / "x", Ruler, newest=2) == Ruler(3, (1.0,), "a")
    with pytest.raises(errors.OtherStore, match=r"written in format 2, .* reads formats up to 1"):
        read_document(tmp_path / "x", Ruler, newest=1)
    (tmp_path / "x").write_text('{"length": 3, "marks": [1], "color": "red"}')
    assert read_document(tmp_path / "x", LaterRuler) == LaterRuler(3, (1.0,))
