"""Odd command lines: each ends with a status of 0, 1 or 2 and a sentence that names what is wrong, never in a traceback."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fuzz.odd_values import WORKED, Outcome, tried
from phosphene import cli

FACTORY = """
import phosphene as ph
from small_models import small_network

def make():
    return ph.wrap(small_network("torch"), size=8, classes=["cat", "dog", "crane", "crane", "owl"])
"""

MODEL = "tiny_factory:make"
LINES: tuple[tuple[str, ...], ...] = (
    ("layers", MODEL),
    ("layers", "specimen", "--report", "--backend", "torch"),
    ("diagnose", MODEL, "cat", "--seed", "0"),
    ("activations", MODEL, "a.png", "--layer", "conv", "--out", "out/a.npz", "--batch", "2", "--dtype", "float32"),
    ("activations", MODEL, "a.png", "--layer", "conv", "--out", "out/a.png", "--strongest", "2", "--on-error", "skip"),
    (
        "units",
        MODEL,
        "pictures",
        "--layer",
        "conv",
        "--out",
        "out/u.html",
        "--top",
        "2",
        "--twins",
        "0.9",
        "--batch",
        "2",
    ),
    ("embed", MODEL, "pictures", "--layer", "conv", "--out", "out/e.npz", "--method", "pca", "--dimensions", "2"),
    ("attribute", MODEL, "a.png", "--out", "out/at.npz", "--method", "gradient", "--target", "cat", "--seed", "0"),
    (
        "render",
        MODEL,
        "conv:1",
        "--size",
        "8",
        "--steps",
        "1",
        "--seed",
        "0",
        "--preset",
        "plain",
        "--out",
        "out/r.png",
    ),
    ("render", "--config", "run.toml", "--save-config", "out/saved.toml", "--out", "out/c.png", "--steps", "1"),
    ("sheet", MODEL, "conv", "--channels", "0-1", "--size", "8", "--steps", "1", "--batch", "2", "--out", "out/sheet"),
    ("dream", MODEL, "a.png", "conv:all", "--octaves", "1", "--factor", "1.4", "--steps", "1", "--out", "out/d.png"),
    ("accentuate", MODEL, "a.png", "conv:1", "--layer", "norm", "--steps", "1", "--weight", "1", "--out", "out/ac.png"),
    ("invert", MODEL, "a.png", "--layer", "conv", "--steps", "1", "--size", "8", "--out", "out/i.png"),
    ("replay", "a.png", "--model", MODEL, "--backend", "torch", "--out", "out/re.png"),
    ("compare", MODEL, MODEL, "--target", "cat", "--size", "8", "--steps", "1", "--seed", "0", "--out", "out/cmp.html"),
    ("parity", MODEL, MODEL, "--images", "a.png", "--tolerance", "0.1", "--out", "out/p.json"),
    (
        "bench",
        MODEL,
        "--batch",
        "1",
        "--size",
        "8",
        "--steps",
        "1",
        "--rounds",
        "1",
        "--device",
        "cpu",
        "--layer",
        "conv",
    ),
    ("quiz", MODEL, "conv:1", "--images", "pictures", "--questions", "2", "--size", "8", "--steps", "1"),
    ("trust", MODEL, "conv:1", "--images", "pictures", "--seeds", "2", "--size", "8", "--steps", "1"),
    (
        "atlas",
        "build",
        MODEL,
        "--data",
        "pictures",
        "--layers",
        "conv",
        "--out",
        "out/at",
        "--levels",
        "2",
        "--count",
        "4",
    ),
    ("atlas", "view", "pictures", "--out", "out/v.html", "--layers", "conv", "--beside", "b=pictures", "--max-mb", "1"),
    ("atlas", "report", "pictures", "--out", "out/rep.html"),
    ("demo", "--backend", "none", "--out", "out/demo", "--steps", "1", "--no-atlas"),
)
"""Lines whose words are replaced; the last is refused for its backend, since the demo takes minutes."""

ODD_WORDS = (
    *("", " ", "-", "--", "-1", "0", "00", "1e999", "nan", "inf", "-inf", "2.7", "1_0", "٣", "True", "None", "9" * 30),
    *(
        "x" * 5000,
        "a.b" * 3000,
        "\udcff",
        "a\udcffb.png",
        "\x1b[31mred",
        "\u202egnp.a",
        "[bold]red[/bold]",
        "[/nothing]",
    ),
    *(
        "%s%n{0}",
        "$HOME",
        "кошка",
        "猫.png",
        "~",
        "~nobody/x.png",
        "/",
        "/dev/null",
        "/dev/full",
        ".",
        "..",
        "../x.png",
    ),
    *(
        "conv:0-99999999",
        f"conv:0-{'9' * 40}",
        "conv:5-1",
        "conv:99",
        "conv:0@9,9",
        "conv:0@",
        "conv:",
        ":",
        ":all",
        "nope:all",
    ),
    *("0-99999999999", "5-1", "1,,2", ",", "0-", "-5-2", "1;2", "b=", "=b", "a=b=c", "photos:0", "photos:99999999999"),
    *(
        "photos:x",
        "photos:3:-1",
        "photos:",
        "pictures",
        "a.png",
        "broken.png",
        "text.txt",
        "run.toml",
        "out",
        "a" * 300,
    ),
    *(
        "tiny_factory:nothing",
        "nothing:make",
        "json:loads",
        "os:getcwd",
        ":make",
        "specimn",
        "torchvision:nothing",
        "timm:",
    ),
    *(
        "hf:../..",
        "x.jpg",
        "x.html",
        "x.csv",
        "x.json",
        "x.npz",
        "x.toml",
        "cuda:99",
        "tensorflow",
        "float8",
        "tsne",
        "umap",
    ),
    *("--help", "--nothing", "--steps", "-x", "cat", "crane", "predicted", "owl,cat", "conv,norm", "conv\nnorm"),
)

QUICK, ALL = 60, 500


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a factory, pictures and a configuration, which is the current one."""
    pytest.importorskip("torch")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delitem(sys.modules, "tiny_factory", raising=False)
    (tmp_path / "tiny_factory.py").write_text(FACTORY)
    (tmp_path / "run.toml").write_text(
        f'[model]\nname = "{MODEL}"\n[run]\ntargets = ["conv:1"]\nsize = 8\npreset = "plain"\n'
    )
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "text.txt").write_text("no such file\n")
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(0)
    for place in ("a.png", *(f"pictures/{index}.png" for index in range(4))):
        Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / place)
    return tmp_path


def started(words: list[str]) -> tuple[Outcome, str]:
    """How ``phosphene WORDS`` ended in this process, and all that it printed."""
    buffer = io.BytesIO()  # as in a terminal: only the stream of errors writes what cannot be encoded
    printed = io.TextIOWrapper(buffer, encoding="utf-8", errors="strict", write_through=True)
    told = io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", write_through=True)
    before, logged = sys.argv, logging.getLogger("phosphene").handlers[:]

    def call() -> int:
        sys.argv = ["phosphene", *words]
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
                cli.main()
        except SystemExit as ended:
            return 0 if ended.code is None else int(ended.code)
        return 0

    try:
        outcome = tried(call)
    finally:
        sys.argv = before
        logging.getLogger("phosphene").handlers[:] = logged
    return outcome, buffer.getvalue().decode("utf-8", "replace")


def drawn(random: np.random.Generator, line: tuple[str, ...]) -> list[str]:
    """A line of which one or two words after the name of the command are odd."""
    words = list(line)
    first = 2 if line[0] == "atlas" else 1
    for _ in range(1 + (random.random() < 0.3)):
        words[random.integers(first, len(words))] = ODD_WORDS[random.integers(len(ODD_WORDS))]
    return words


def faults(count: int, seed: int, start: Callable[[list[str]], tuple[Outcome, str]] = started) -> list[str]:
    found, random = [], np.random.default_rng(seed)
    for index in range(count):
        words = drawn(random, LINES[index % len(LINES)])
        outcome, text = start(words)
        line = " ".join(word[:60] for word in words)
        if outcome.kind != WORKED or "Traceback" in text:
            found.append(f"{outcome.kind}: {line!a}: {outcome.story}")
        elif outcome.value not in (0, 1, 2):
            found.append(f"status {outcome.value}: {line!a}")
        elif outcome.value and not re.search(r"phosphene: \S+.{10,}|Error|Usage|finding|differ", text, re.DOTALL):
            found.append(f"status {outcome.value} without a reason: {line!a}: {text[-200:]}")
    return found


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_no_line_ends_in_a_traceback(count: int, here: Path) -> None:
    assert faults(count, count) == []


@pytest.mark.parametrize("line", LINES, ids=lambda line: "-".join(line[:2]) if line[0] == "atlas" else line[0])
def test_the_lines_themselves_are_understood(line: tuple[str, ...], here: Path) -> None:
    if line[0] in ("trust", "quiz", "bench") or line[:2] == ("atlas", "build"):
        pytest.skip("takes more images, or more seconds, than a line of this table")
    outcome, text = started(list(line))
    assert outcome.kind == WORKED, outcome.story
    assert outcome.value in (0, 1) or line[0] in ("demo", "replay"), text
    assert "no such option" not in text.lower()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["sheet", MODEL, "conv", "--channels", "0-99999999"], 2, "channels: expected integers and ranges from 0 to"),
        (["render", MODEL, "conv:0-99999999"], 2, "at most 10,000 channels"),
        (["render", MODEL, "conv:0", "--steps", "1000000000"], 2, "steps: expected at most 1,000,000"),
        (["render", MODEL, "conv:0", "--size", "1000000"], 2, "size: expected at most 16384 pixels"),
        (["render", MODEL, "conv:0", "--seed", "9" * 60], 2, "seed: expected an integer from 0 to"),
        (["render", MODEL, "conv:0", "--seed", "two"], 2, "Invalid value for '--seed'"),
        (["dream", MODEL, "a.png", "conv:0-3", "--octaves", "9" * 12], 2, "octaves: expected an integer from 1 to 64"),
        (["layers", "a\udcffb:make"], 2, "name: expected"),
    ],
)
def test_the_message_names_the_option(words: list[str], status: int, message: str, here: Path) -> None:
    outcome, text = started(words)
    assert (outcome.kind, outcome.value) == (WORKED, status), (outcome.story, text)
    assert message in text
