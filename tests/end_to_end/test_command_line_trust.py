"""The commands trust and quiz: what they write and print, and how they end. They run in this process."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

import phosphene as ph
from phosphene.cli import main

pytest.importorskip("torch")

PICTURES = ("specimen", "stage2:3-4", "coins", "--size", "32", "--steps", "3", "--seed", "5")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """`run(*arguments)` gives the exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phosphene", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def answers_to(quiz: Path, path: Path, *, right: bool) -> Path:
    """A file as the page of a quiz saves it, of somebody who knows all or is wrong in all."""
    asked = ph.Quiz.load(quiz)
    rows = [
        {"question": number, "answer": int(answer) if right else 1 - int(answer), "seconds": 1.0}
        for number, answer in enumerate(asked.answers)
    ]
    text = {"format": "phosphene quiz answers", "version": 1, "quiz": asked.fingerprint, "answers": rows}
    path.write_text(json.dumps(text))
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_cards_are_printed_and_written_as_a_page_or_a_table(run, tmp_path: Path) -> None:
    status, out, error = run("trust", *PICTURES, "--images", "photos:40", "--seeds", "2", "--out", "a/cards.csv")
    assert status == 0, error
    assert "TrustCards of 3 pictures against 40 real images" in out and out.endswith("a/cards.csv\n")
    rows = table(tmp_path / "a/cards.csv")
    assert [row["label"] for row in rows] == ["stage2 : 3", "stage2 : 4", "coins"]
    assert all(row["label"] in out and row["word"] in out for row in rows)
    network = ph.load("specimen", backend="torch")
    wanted = [ph.channel("stage2", 3), ph.channel("stage2", 4), ph.logit("coins")]
    runs = [ph.render(network, wanted, size=32, steps=3, seed=seed, progress=False) for seed in (5, 6)]
    own = ph.assess(network, runs, "photos:40", seeds=2)
    for row, card in zip(rows, own, strict=True):
        assert float(row["clean"]) == pytest.approx(card.clean, rel=1e-4)
        assert float(row["consistency"]) == pytest.approx(card.consistency, rel=1e-3)
    status, _, error = run("trust", *PICTURES, "--images", "photos:40", "--seeds", "1", "--out", "cards.html")
    assert status == 0, error
    assert (tmp_path / "cards.html").read_text(encoding="utf-8").count('class="card trust"') == 3


def test_a_preset_is_the_recipe_of_all_runs(run, tmp_path: Path) -> None:
    for preset in ("plain", "default"):
        options = ("--images", "photos:20", "--seeds", "1", "--preset", preset, "--out", f"{preset}.csv")
        status, _, error = run("trust", *PICTURES, *options)
        assert status == 0, error
    plain, default = (float(table(tmp_path / f"{name}.csv")[0]["slope"]) for name in ("plain", "default"))
    assert plain < default  # unregularized pictures hold more of what is fine


def test_people_answer_the_quiz_and_stand_on_the_cards(run, tmp_path: Path) -> None:
    status, out, error = run("quiz", *PICTURES, "--images", "photos:40", "--questions", "2", "--out", "q/quiz.html")
    assert status == 0, error
    assert "Quiz of 6 questions on 3 units" in out and out.endswith("q/quiz.html\nq/quiz.npz\n")
    assert "<script" in (tmp_path / "q/quiz.html").read_text(encoding="utf-8")
    one = answers_to(tmp_path / "q/quiz.npz", tmp_path / "a.json", right=True)
    two = answers_to(tmp_path / "q/quiz.npz", tmp_path / "b.json", right=False)
    cards = ("--images", "photos:40", "--seeds", "1", "--out", "cards.csv", "--quiz", "q/quiz.npz")
    status, _, error = run("trust", *PICTURES, *cards, "--answers", str(one))
    assert status == 0, error
    assert [row["people"] for row in table(tmp_path / "cards.csv")] == ["1"] * 3
    status, _, error = run("trust", *PICTURES, *cards, "--answers", str(one), "--answers", str(two))
    assert status == 0, error
    assert [row["people"] for row in table(tmp_path / "cards.csv")] == ["0.5"] * 3
    (tmp_path / "cards.csv").unlink()
    other = [*PICTURES[:-1], "6"]
    status, _, error = run("trust", *other, *cards, "--answers", str(one))
    assert status == 2 and "quiz: expected a quiz about the pictures of these cards" in error
    assert not (tmp_path / "cards.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("trust", "specimen"), 2, "Missing argument"),
        (("trust", "specimens", "coins"), 2, "name: expected 'specimen'"),
        (("trust", "specimen", "coin"), 2, "no class 'coin'. Did you mean 'coins'"),
        (("trust", "specimen", "stage9:1"), 2, "no layer 'stage9' in specimen"),
        (("trust", "specimen", "coins", "--images", "nothing"), 2, "Nothing exists at that path"),
        (("trust", "specimen", "coins", "--out", "cards.npz"), 2, "ends in .html, .csv, .png, .svg or .pdf"),
        (("trust", "specimen", "coins", "--preset", "lucit"), 2, "Did you mean 'lucid'"),
        (("trust", "specimen", "coins", "--seeds", "0", "--steps", "2", "--size", "32"), 2, "seeds: expected an int"),
        (("trust", "specimen", "coins", "--quiz", "quiz.npz"), 2, "answers: expected --quiz and --answers together"),
        (("trust", "specimen", "coins", "--answers", "a.json"), 2, "quiz: expected --quiz and --answers together"),
        (("trust", "specimen", "coins", "--quiz", "none.npz", "--answers", "a.json"), 1, "none.npz"),
        (("trust", "specimen", "coins", "--quiz", "text", "--answers", "a.json"), 1, "cannot be read as Quiz"),
        (("quiz", "specimen"), 2, "Missing argument"),
        (("quiz", "specimen", "stage1:a"), 2, "target: expected CLASS, LAYER:CHANNEL"),
        (("quiz", "specimen", "coins", "--out", "quiz.npz"), 2, "a name that ends in .html"),
        (("quiz", "specimen", "coins", "--out", "text/quiz.html"), 1, "cannot write text/quiz.html"),
        (("quiz", "specimen", "coins", "--images", "photos:10", "--steps", "2", "--size", "32"), 2, "at least 20"),
        (("quiz", "specimen", "coins", "--questions", "0", "--steps", "2", "--size", "32"), 2, "questions: expected"),
    ],
)
def test_bad_usage_is_said_and_nothing_is_written(
    run, arguments: tuple[str, ...], status: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no quiz")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    found, _, error = run(*arguments)
    assert found == status, error
    assert message in error and "Traceback" not in error
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_answers_to_another_quiz_are_said_before_anything_is_rendered(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, error = run("quiz", *PICTURES, "--images", "photos:40", "--questions", "1", "--out", "one.html")
    assert status == 0, error
    status, _, error = run("quiz", *PICTURES, "--images", "photos:40", "--questions", "2", "--out", "two.html")
    assert status == 0, error
    mine = answers_to(tmp_path / "two.npz", tmp_path / "a.json", right=True)
    monkeypatch.setattr(ph, "render", lambda *_, **__: pytest.fail("rendered"))
    status, _, error = run("trust", *PICTURES, "--quiz", "one.npz", "--answers", str(mine))
    assert status == 2 and "answers to this quiz" in error
